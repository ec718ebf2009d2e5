"""The answers of the page's server about jobs: lists, streams, workers, stacks and actions."""

import asyncio
import json
from contextlib import AsyncExitStack, ExitStack, aclosing
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Any

import aiohttp
import pytest

from aioparcs.events import LogLines
from aioparcs.events.codec import to_json
from aioparcs.web.watches import JobWatch
from tests.support.live_client import LiveClient
from tests.support.recordings import started
from tests.support.waiting import until
from tests.support.web import TOKEN, Page, control_socket, follow, open_page, read_stream, running, write_history

pytestmark = pytest.mark.one_loop
JOB = "/api/jobs/render-1a2b3c"


async def test_the_list_comes_again_when_it_has_changed() -> None:
    path = write_history("render-1a2b3c", workers=4, spans=20)
    async with open_page() as page:
        lists = read_stream(page, "/api/jobs")
        first = await anext(lists)
        (row,) = first["jobs"]
        assert (row["id"], row["state"], row["engine"], row["control"]) == ("render-1a2b3c", "done", "local", False)
        assert row["items"] == {"done": 80, "total": 80, "failed": 0, "running": 0}
        write_history("other-1a2b3c", error="ValueError: no")
        second = await anext(lists)
        assert {row["id"]: row["state"] for row in second["jobs"]} == {
            "render-1a2b3c": "done",
            "other-1a2b3c": "failed",
        }
        path.unlink()
        third = await anext(lists)
        assert [row["id"] for row in third["jobs"]] == ["other-1a2b3c"]
        await lists.aclose()


@pytest.mark.slow
async def test_a_job_is_seen_while_it_is_written() -> None:
    path = write_history("render-1a2b3c", workers=4, spans=500, nodes=2)
    data = path.read_bytes()
    lines = data.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:20]))
    async with open_page() as page:
        clients = [LiveClient() for _ in range(3)]
        with running(path):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(follow(page, JOB, client)) for client in clients[:2]]
                await until(lambda: all(client.known for client in clients[:2]))
                assert clients[0].known["overview"]["state"] == "running"
                with path.open("ab", buffering=0) as file:
                    for line in lines[20:]:
                        file.write(line)
                await until(lambda: all(client.known["overview"]["calls"] == 2000 for client in clients[:2]))
                await until(lambda: all(client.known["overview"]["state"] == "done" for client in clients[:2]))
                tasks.append(group.create_task(follow(page, JOB, clients[2])))
                await until(lambda: clients[2].known)
                for task in tasks:
                    task.cancel()
        assert clients[0].known == clients[1].known == clients[2].known


@pytest.mark.slow
async def test_pages_that_know_as_much_of_a_job_get_one_message_that_is_made_once() -> None:
    path = write_history("render-1a2b3c", workers=4, spans=20)
    watch = JobWatch(path, has_control=False)
    try:
        with watch.open_stream() as one, watch.open_stream() as other:
            await watch.poll()
            first = await watch.message(one)
            assert first is not None
            assert await watch.message(other) is first
            assert await watch.message(one) is None
            with path.open("a") as file:
                file.write(f"{to_json(LogLines(started().time + 1, 'render', ((0, 'more'),)))}\n")
            async with asyncio.timeout(20):
                while (second := await watch.message(one)) is None:
                    await watch.poll()
                    await asyncio.sleep(0)
            assert await watch.message(other) is second
            with watch.open_stream() as late:
                assert json.loads(await watch.message(late) or b"")["reset"]
    finally:
        await watch.close()


@pytest.mark.slow
async def test_a_server_follows_a_bounded_number_of_jobs() -> None:
    names = [f"render-{number:06}" for number in range(17)]
    for name in names:
        write_history(name)
    async with open_page() as page, AsyncExitStack() as stack:
        for name in names[:-1]:
            messages = await stack.enter_async_context(aclosing(read_stream(page, f"/api/jobs/{name}")))
            assert (await anext(messages))["reset"]
        for path in (f"/api/jobs/{names[-1]}", f"/api/jobs/{names[-1]}/workers/0"):
            async with page.client.get(page.url + path) as answer:
                assert (answer.status, await answer.json()) == (
                    503,
                    {"error": "pages of 16 jobs are open already; close some"},
                )


@pytest.mark.slow
async def test_pages_that_were_closed_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioparcs.web.streams._PING", 600.0)  # nothing is written to a page of a job that has ended
    names = [f"render-{number:06}" for number in range(17)]
    for name in names:
        write_history(name)
    async with open_page() as page, asyncio.timeout(60):
        for _ in range(40):
            messages = read_stream(page, f"/api/jobs/{names[0]}")
            assert (await anext(messages))["reset"]
            await messages.aclose()
        for name in names:
            status = 503
            while status != 200:
                async with page.client.get(page.url + f"/api/jobs/{name}") as answer:
                    status = answer.status


async def test_a_worker_and_the_cluster_are_streamed_to_pages_and_answered_once_to_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    path = write_history("render-1a2b3c", workers=4, spans=50)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:20]))
    async with open_page() as page:
        for target in (f"{JOB}/workers/1", "/api/cluster"):
            stream = read_stream(page, target)
            first, (code, once) = await anext(stream), await page.get(target)
            assert (code, once.keys()) == (200, first.keys())
            if "workers" in target:
                with path.open("ab") as file:
                    file.writelines(lines[20:])
                while (message := await anext(stream)) is None or not message["worker"]["calls"]:
                    pass
                assert len(message["spans"]) == 50
            await stream.aclose()
        headers = {"Accept": "text/event-stream"}
        assert (await page.get(f"{JOB}/workers/99", headers=headers))[0] == 404


async def test_an_error_of_the_server_is_printed_once_and_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise ZeroDivisionError("a secret of the server")

    monkeypatch.setattr("aioparcs.web.cluster.platform.node", fail)
    async with open_page() as page:
        for _ in range(2):
            code, answer = await page.get("/api/cluster")
            assert (code, list(answer)) == (500, ["error"])
            assert "secret" not in answer["error"]
        (text,) = page.lines
        assert text.startswith("Traceback (most recent call last):\n")
        assert text.endswith("ZeroDivisionError: a secret of the server")
        assert "in _local" in text


async def test_a_silent_stream_says_that_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioparcs.web.streams._PING", 0.3)
    write_history("render-1a2b3c")
    async with open_page() as page:
        messages = read_stream(page, JOB)
        assert (await anext(messages))["reset"]
        assert await anext(messages) is None
        assert await anext(messages) is None
        await messages.aclose()


async def test_a_server_that_ends_ends_its_streams() -> None:
    write_history("render-1a2b3c")
    seen: list[Any] = []

    async def read(page: Page, path: str) -> None:
        async for message in read_stream(page, path):
            seen.append(message)

    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with asyncio.timeout(20), aiohttp.ClientSession(headers=headers) as client, asyncio.TaskGroup() as group:
        async with open_page() as page:
            other = page._replace(client=client)
            tasks = [group.create_task(read(other, path)) for path in ("/api/jobs", JOB)]
            await until(lambda: len(seen) == 2)
            assert not any(task.done() for task in tasks)
    assert len(seen) == 2


@pytest.mark.parametrize("path", ["/api/jobs/none-000000", "/api/jobs/..%2fx", "/api/jobs/none-000000/workers/1",
                                  "/api/jobs/none-000000/workers/1/stack", f"{JOB}/workers/99", f"{JOB}/workers/-1",
                                  f"{JOB}/workers/x"])  # fmt: skip
async def test_what_is_not_there_is_a_404(path: str) -> None:
    write_history("render-1a2b3c")
    async with open_page() as page, page.client.get(page.url + path) as answer:
        assert answer.status == 404


async def test_a_worker_has_its_lines_and_its_calls() -> None:
    path = write_history("render-1a2b3c", workers=2, spans=700, lines=50)
    with path.open("a", errors="backslashreplace") as file:
        for number in range(600):
            lines = ((0, f"zero {number}"), (1, f"one {number}\ud800"))
            file.write(f"{to_json(LogLines(started().time + 1, 'render', lines))}\n")
    async with open_page() as page:
        code, worker = await page.get(f"{JOB}/workers/1")
        assert code == 200
        assert worker["worker"]["number"] == 1
        assert worker["worker"]["state"] == "lost"
        assert [one["text"].partition(":")[0] for one in worker["explain"]] == ["was lost"]
        assert [row[4] for row in worker["log"]] == [f"one {number}\ud800" for number in range(100, 600)]
        assert len({row[0] for row in worker["log"]}) == 500
        assert len(worker["spans"]) == 500
        assert {row[0] for row in worker["spans"]} == {1}
        assert worker["functions"] == ["merge", "frame"] or worker["functions"] == ["frame", "merge"]
        assert {row[4] for row in worker["failures"]} <= {1}
        assert (worker["control"], worker["program"]) == (False, "render/main.py")
        assert worker["usageSeries"] == worker["channelSeries"] == []


async def test_a_stack_is_read_without_control() -> None:
    path = write_history("render-1a2b3c")
    async with open_page() as page:
        assert (await page.get(f"{JOB}/workers/1/stack"))[0] == 409
        async with control_socket(path, {"ok": True, "text": "File main.py\n"}) as requests:
            assert await page.get(f"{JOB}/workers/1/stack") == (200, {"stack": "File main.py\n"})
            assert await page.get(f"{JOB}/where") == (200, {"stack": "File main.py\n"})
            assert requests == [{"do": "stack", "by": "", "worker": 1}, {"do": "where", "by": ""}]
        async with control_socket(path, {"error": "there is no worker 1"}):
            assert await page.get(f"{JOB}/workers/1/stack") == (409, {"error": "there is no worker 1"})


async def test_runners_that_are_stopped_delay_no_other_request() -> None:
    names = [f"render-{number:06}" for number in range(3)]
    async with open_page() as page, asyncio.TaskGroup() as group:
        with ExitStack() as sockets:
            for name in names:
                sock = sockets.enter_context(socket(AF_UNIX))  # the kernel takes clients of a stopped process, too
                sock.bind(str(write_history(name).with_suffix(".sock")))
                sock.listen(16)
            tasks = [group.create_task(page.get(f"/api/jobs/{names[n % 3]}/workers/1/stack")) for n in range(15)]
            await until(lambda: sum(task.done() for task in tasks) == 3)
            assert (await page.get(f"/api/jobs/{names[0]}/workers/1"))[0] == 200
            refused = [task.result()[0] for task in tasks if task.done()]
            assert refused == [503] * 3  # four wait for each runner
            for task in tasks:
                task.cancel()


ACTIONS = [
    ("stop", {}, {"do": "stop"}),
    ("workers/3/kill", {}, {"do": "kill", "worker": 3}),
    ("workers/3/restart", {}, {"do": "restart", "worker": 3}),
    ("pools/0/resize", {"workers": 5}, {"do": "resize", "pool": 0, "workers": 5}),
    ("pools/1/cancel", {"item": 7}, {"do": "cancel", "pool": 1, "item": 7}),
]


@pytest.mark.parametrize("path, body, expected", ACTIONS)
async def test_an_action_is_passed_on_and_logged(path: str, body: dict[str, int], expected: dict[str, Any]) -> None:
    history = write_history("render-1a2b3c")
    async with control_socket(history, {"ok": True, "text": "it is done"}) as requests, open_page(control=True) as page:
        assert await page.post(f"{JOB}/{path}", body) == (200, {"ok": True, "text": "it is done"})
        assert requests == [expected | {"by": "aioparcs ui"}]
        (line,) = page.lines
        assert line.startswith("render-1a2b3c: ")
        assert line.endswith("it is done")


@pytest.mark.parametrize("path, body, expected", ACTIONS)
async def test_without_control_nothing_is_changed(path: str, body: dict[str, int], expected: dict[str, Any]) -> None:
    history = write_history("render-1a2b3c")
    async with control_socket(history, {"ok": True, "text": ""}) as requests, open_page() as page:
        code, answer = await page.post(f"{JOB}/{path}", body)
        assert (code, list(answer)) == (403, ["error"])
        assert requests == []


@pytest.mark.parametrize(
    "body", [[], {}, {"workers": "5"}, {"workers": -1}, {"workers": True}, {"workers": 1 << 40}], ids=str
)
async def test_a_number_that_is_none_is_refused(body: Any) -> None:
    history = write_history("render-1a2b3c")
    async with control_socket(history, {"ok": True}) as requests, open_page(control=True) as page:
        assert (await page.post(f"{JOB}/pools/0/resize", body))[0] == 400
        assert requests == []


async def test_what_a_program_refuses_is_an_error() -> None:
    history = write_history("render-1a2b3c")
    async with open_page(control=True) as page:
        code, answer = await page.post(f"{JOB}/stop")
        assert (code, answer["error"]) == (
            409,
            "the job has no control socket: it has ended, or its runner is on another machine",
        )
        async with control_socket(history, {"error": "it ends already"}):
            assert await page.post(f"{JOB}/stop") == (409, {"error": "it ends already"})
        assert len(page.lines) == 2


async def test_control_is_shown_for_running_jobs_that_listen() -> None:
    path = write_history("render-1a2b3c")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    with running(path):
        async with control_socket(path, {"ok": True}):
            for control in (False, True):
                async with open_page(control=control) as page:
                    for target in ("/api/jobs", JOB):
                        stream = read_stream(page, target)
                        message = await anext(stream)
                        row = message["jobs"][0] if "jobs" in message else message["overview"]
                        assert row["control"] is control
                        await stream.aclose()


async def test_the_cluster_says_why_it_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    async with open_page() as page:
        code, cluster = await page.get("/api/cluster")
        assert code == 200
        assert (cluster["available"], cluster["nodes"]) == (False, [])
        assert "none.sock" in cluster["reason"]
        assert cluster["local"]["cores"] >= 1
        assert cluster["local"]["memory"] > 1 << 20


async def test_the_page_and_its_parts_have_their_types() -> None:
    async with open_page() as page:
        for path, kind in (("/", "text/html"), ("/page/app.js", "text/javascript"), ("/page/icon.svg", "image/svg+xml"),
                           ("/page/style/base.css", "text/css")):  # fmt: skip
            async with page.client.get(page.url + path) as answer:
                assert (answer.status, answer.content_type, answer.charset) == (200, kind, "utf-8")
                assert await answer.read()


async def test_a_hostile_text_arrives_as_it_is() -> None:
    write_history("render-1a2b3c", workers=2, spans=5)
    async with open_page() as page:
        stream = read_stream(page, JOB)
        message = await anext(stream)
        assert any("</script>" in row[4] for row in message["log"])
        assert json.loads(json.dumps(message)) == message
        await stream.aclose()
