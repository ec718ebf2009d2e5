"""One trace over runner, workers and those that they call: spans of real processes, and which is whose parent."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from aioparcs import Pool, RemoteError, Retry, Runner
from aioparcs.pool.control import open_pools
from tests.support import reference_service
from tests.support.jobs import MODULES, job
from tests.support.telemetry import Made, Telemetry, attributes, read_spans
from tests.support.waiting import until

pytestmark = pytest.mark.slow


class Tree:
    """All spans of a test, whichever process has made them; all are of one trace."""

    def __init__(self, telemetry: Telemetry, folder: Path) -> None:
        self.spans = [*map(Made.of, telemetry.spans), *read_spans(folder)]
        self.ids = {span.id: span for span in self.spans}

    def path(self, span: Made) -> list[str]:
        """Return a span and those above it, as ``KIND NAME``."""
        found = [f"{span.kind} {span.name}"]
        while span.parent:
            span = self.ids[span.parent]
            found.append(f"{span.kind} {span.name}")
        return found

    def paths(self, name: str) -> list[list[str]]:
        """Return the paths of all spans of a name."""
        return [self.path(span) for span in self.spans if span.name == name]

    def of(self, kind: str) -> list[Made]:
        return [span for span in self.spans if span.kind == kind]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def env(folder: Path, **more: str) -> dict[str, str]:
    return {"FOLDER": str(folder), **more}


@pytest.mark.parametrize(
    "more",
    [
        {"PROVIDER": "import simple"},
        {"PROVIDER": "import batch"},
        {"PROVIDER": "import simple", "FRESH": "1"},
    ],
    ids=["forked", "with a thread before the fork", "fresh"],
)
async def test_calls_of_a_task_continue_in_its_worker(
    telemetry: Telemetry, folder: Path, more: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    async with job() as runner:
        with telemetry.tracer.start_as_current_span("mine"):
            async with runner.start("traced", env=env(folder, **more)) as task:
                assert await task.call("half", 3) == 4
                assert await task.call("wait", 3) == 3
                assert await task.call("later", 3) == 3
                assert await task.call("wrapped", 3) == 3
                assert await task.call_within(30, "half", 4) == 3
                assert await task.call_within(30, "wrapped", 4) == 4
    tree = Tree(telemetry, folder)
    expected = ["half", "wait", "later", "wrapped", "half", "wrapped"]
    places = [
        ["INTERNAL inner", f"SERVER traced/{name}", f"CLIENT traced/{name}", "INTERNAL mine"] for name in expected
    ]
    assert sorted(tree.paths("inner")) == sorted(places)
    wrapper = ["INTERNAL wrapper", "SERVER traced/wrapped", "CLIENT traced/wrapped", "INTERNAL mine"]
    assert tree.paths("wrapper") == [wrapper, wrapper]
    assert len({span.trace for span in tree.spans}) == 1
    served = tree.of("SERVER")
    assert all(span.attributes["aioparcs.worker"] == 0 for span in served)
    assert {span.attributes["rpc.system.name"] for span in served} == {"aioparcs"}
    assert {span.attributes["server.address"] for span in served} == {"traced"}


@pytest.mark.parametrize("provider", ["import simple", "setup batch"])
async def test_calls_of_a_pool_continue_in_its_workers(telemetry: Telemetry, folder: Path, provider: str) -> None:
    setup: Any = {} if provider.startswith("setup") else None
    variables = env(folder, PROVIDER=provider)
    async with job() as runner, runner.pool("traced", 2, function="half", env=variables, setup=setup) as pool:
        with telemetry.tracer.start_as_current_span("map"):
            assert await pool.map(range(1, 5)) == [12, 6, 4, 3]
        with telemetry.tracer.start_as_current_span("submit"):
            future = pool.submit(6)
        assert await future == 2
        with telemetry.tracer.start_as_current_span("other"):
            assert await pool.submit(6, function="wrapped") == 6
            assert await pool.submit_within(30, 6, function="wait") == 6
    tree = Tree(telemetry, folder)
    halves = [["INTERNAL inner", "SERVER traced/half", "CLIENT traced/half", f"INTERNAL {name}"]
              for name in ("map", "map", "map", "map", "submit")]  # fmt: skip
    others = [["INTERNAL inner", f"SERVER traced/{name}", f"CLIENT traced/{name}", "INTERNAL other"]
              for name in ("wait", "wrapped")]  # fmt: skip
    assert sorted(tree.paths("inner")) == sorted(halves + others)
    calls = [span.attributes for span in tree.of("CLIENT") if span.name != "traced/setup"]
    calls = [call for call in calls if "aioparcs.revoked" not in call]  # another worker had room sooner
    assert {(call["aioparcs.pool"], call["aioparcs.calls"]) for call in calls} == {("traced", 1)}
    assert sorted(call["aioparcs.item"] for call in calls if "aioparcs.item" in call) == [0, 1, 2, 3]
    assert all(tree.ids[span.parent].attributes["aioparcs.worker"] == span.attributes["aioparcs.worker"]
               for span in tree.of("SERVER"))  # fmt: skip


async def take(items: Any, most: int = 100) -> list[Any]:
    taken = []
    async with items:
        async for item in items:
            taken.append(item)
            if len(taken) == most:
                break
    return taken


async def test_streams_are_spans_at_both_ends(telemetry: Telemetry, folder: Path) -> None:
    async with job() as runner, runner.start("traced", env=env(folder)) as task:
        for name in ("count", "acount"):
            with telemetry.tracer.start_as_current_span("mine"):
                stream = task.stream(name, 3)
            assert await take(stream) == [0, 1, 2]
        with telemetry.tracer.start_as_current_span("early"):
            assert await take(task.stream_within(30, "acount", 10_000), 2) == [0, 1]
        with telemetry.tracer.start_as_current_span("failed"), pytest.raises(ValueError, match="too many"):
            await take(task.stream("count", 4))
    tree = Tree(telemetry, folder)
    for place, name, failed in (
        ("mine", "count", False), ("mine", "acount", False), ("early", "acount", False), ("failed", "count", True),
    ):  # fmt: skip
        path = ["INTERNAL inner", f"SERVER traced/{name}", f"CLIENT traced/{name}", f"INTERNAL {place}"]
        assert path in tree.paths("inner")
        both = [span for span in tree.spans if tree.path(span)[-1] == path[-1] and span.name == f"traced/{name}"]
        assert [span.kind for span in both] == ["CLIENT", "SERVER"]
        assert [span.attributes.get("error.type") for span in both] == ["ValueError" if failed else None] * 2
    assert len(tree.paths("traced/count") + tree.paths("traced/acount")) == 8


async def read_stream(pool: Pool[..., Any], telemetry: Telemetry) -> None:
    with telemetry.tracer.start_as_current_span("stream"):
        assert await take(pool.stream(3, function="count")) == [0, 1, 2]
    with telemetry.tracer.start_as_current_span("merged"):
        merged = pool.stream_map([1, 2, 1], function="acount")
    assert sorted([item async for item in merged]) == [0, 0, 0, 1]


async def test_streams_of_a_pool_are_children_of_the_span_in_which_they_were_opened(
    telemetry: Telemetry, folder: Path
) -> None:
    async with job() as runner, runner.pool("traced", 2, function="half", env=env(folder)) as pool:
        await read_stream(pool, telemetry)
    tree = Tree(telemetry, folder)
    below = ["INTERNAL inner", "SERVER traced/count", "CLIENT traced/count", "INTERNAL stream"]
    merged = ["INTERNAL inner", "SERVER traced/acount", "CLIENT traced/acount", "INTERNAL merged"]
    assert sorted(tree.paths("inner")) == sorted([below] * 3 + [merged] * 4)
    assert len(tree.of("SERVER")) == len(tree.of("CLIENT")) == 4


async def test_a_runner_inside_a_worker_continues_the_trace(telemetry: Telemetry, folder: Path) -> None:
    async with job() as runner, runner.start("traced", env=env(folder)) as task:
        with telemetry.tracer.start_as_current_span("mine"):
            assert await task.call("nested", str(MODULES)) == [12, 6]
    tree = Tree(telemetry, folder)
    path = ["INTERNAL inner", "SERVER traced/half", "CLIENT traced/half", "SERVER traced/nested",
            "CLIENT traced/nested", "INTERNAL mine"]  # fmt: skip
    assert tree.paths("inner") == [path, path]
    assert len({span.process for span in tree.spans}) == 3
    assert len({span.trace for span in tree.spans}) == 1


async def test_what_a_service_calls_is_in_the_trace_in_which_it_was_started(telemetry: Telemetry, folder: Path) -> None:
    async with job() as runner:
        with telemetry.tracer.start_as_current_span("mine"):
            tree_task = await runner.start("traced_tree", env=env(folder))
        async with tree_task as task:
            await task.send(3)
            assert await task.recv() == 4
    tree = Tree(telemetry, folder)
    assert tree.paths("inner") == [
        ["INTERNAL inner", "SERVER traced/half", "CLIENT traced/half", "INTERNAL mine"]
    ]  # fmt: skip


async def test_errors_are_recorded_at_both_ends(telemetry: Telemetry, folder: Path) -> None:
    async with job() as runner, runner.start("traced", env=env(folder)) as task:
        with pytest.raises(ZeroDivisionError):
            await task.call("half", 0)
    tree = Tree(telemetry, folder)
    both = [*tree.of("CLIENT"), *tree.of("SERVER")]
    assert [span.attributes["error.type"] for span in both] == ["ZeroDivisionError"] * 2
    assert [span.events for span in both] == [["exception"]] * 2
    (served,) = tree.of("SERVER")
    assert "return 12 / n" in served.stack
    assert "aioparcs/service" not in served.stack  # the frames are those of the user's code


async def test_the_class_of_an_error_has_one_name_at_both_ends(telemetry: Telemetry, folder: Path) -> None:
    async with job() as runner, runner.start("traced", env=env(folder)) as task:
        with pytest.raises(RemoteError):
            await task.call("interrupted")
    tree = Tree(telemetry, folder)
    both = [*tree.of("CLIENT"), *tree.of("SERVER")]
    assert [span.attributes["error.type"] for span in both] == ["asyncio.exceptions.IncompleteReadError"] * 2


async def test_a_call_that_is_made_again_has_a_link_to_its_last_try(telemetry: Telemetry, folder: Path) -> None:
    variables = env(folder)
    async with job() as runner, runner.pool("traced", 1, function="die_once", env=variables, retries=2) as pool:
        with telemetry.tracer.start_as_current_span("mine"):
            assert await pool.map([str(folder / "died")]) == ["done"]
    tree = Tree(telemetry, folder)
    first, second = tree.of("CLIENT")
    assert [span.attributes.get("error.type") for span in (first, second)] == ["aioparcs.errors.WorkerLost", None]
    assert (first.links, second.links) == ([], [first.id])
    assert first.parent == second.parent
    (served,) = tree.of("SERVER")  # the other one has died with its process
    assert served.parent == second.id


async def test_a_copy_of_a_call_has_a_link_to_the_call_that_takes_long(telemetry: Telemetry, folder: Path) -> None:
    async with job() as runner, runner.pool("traced", 2, function="linger_once", env=env(folder), hedge=2) as pool:
        await pool.map([""] * 20)
        assert await pool.submit(str(folder / "begun")) in ("first", "second")
        await until(lambda: len(read_spans(folder)) == 22)
    spans = [Made.of(span) for span in telemetry.calls]
    first, second = spans[20:]
    assert [span.links for span in spans] == [[]] * 21 + [[first.id]]
    assert first.attributes["aioparcs.worker"] != second.attributes["aioparcs.worker"]
    assert first.parent == second.parent


@pytest.mark.parametrize("provider", ["import simple", "setup simple"], ids=["traced worker", "untraced worker"])
async def test_spans_of_calls_that_are_cancelled_end_at_once(telemetry: Telemetry, folder: Path, provider: str) -> None:
    """Their functions are plain ones, which run until their worker ends."""
    begun = [folder / name for name in ("one", "two", "three", "four")]
    variables, results = env(folder, PROVIDER=provider), None
    async with job() as runner:
        for number, path in enumerate(begun[:3]):
            async with runner.pool("traced", 1, function="linger_once", env=variables) as pool:
                if number == 2:  # left with a call that runs
                    results = pool.imap_unordered([str(path)])
                    await until(path.exists)
                    continue
                future = pool.submit(str(path))
                await until(path.exists)
                if number == 0:
                    future.cancel()
                else:
                    (control,) = open_pools
                    assert control.cancel(None, None, "a user")
                await asyncio.gather(future, return_exceptions=True)
        async with runner.start("traced", env=variables) as task:
            call = asyncio.ensure_future(task.call("linger_once", str(begun[3])))
            await until(begun[3].exists)
            call.cancel()
    assert results is not None  # it was kept: what it had asked for is left with its pool
    tree = Tree(telemetry, folder)
    cancelled = "asyncio.exceptions.CancelledError"
    errors = [cancelled, "aioparcs.errors.CallCancelled", cancelled, cancelled]
    assert [Made.of(span).attributes["error.type"] for span in telemetry.calls] == errors
    assert all(span.status.status_code is StatusCode.ERROR for span in telemetry.calls)
    # Those of pools are killed, and may have no time for theirs.
    served = [span.attributes["error.type"] for span in tree.of("SERVER") if span.attributes["aioparcs.worker"] == 3]
    assert served == ([cancelled] if provider.startswith("import") else [])


async def test_short_tries_have_links_too_where_workers_make_no_spans(telemetry: Telemetry) -> None:
    retries = Retry(1, on=ValueError)
    async with job() as runner, runner.pool("crunch", 1, function="refuse_odd", retries=retries) as pool:
        with pytest.raises(ValueError, match="is odd"):
            await pool.submit(3)
    first, second = telemetry.calls
    assert Made.of(second).links == [Made.of(first).id]
    assert attributes(first)["aioparcs.calls"] == attributes(second)["aioparcs.calls"] == 1
    assert first.status.status_code is second.status.status_code is StatusCode.ERROR


async def test_calls_of_an_untraced_runner_are_roots(folder: Path) -> None:
    async with job() as runner, runner.pool("traced", 1, function="half", env=env(folder)) as pool:
        assert await pool.map([1, 2]) == [12, 6]
    spans = read_spans(folder)
    assert [(span.kind, bool(span.parent)) for span in spans] == [("INTERNAL", True), ("SERVER", False)] * 2
    assert len({span.trace for span in spans}) == 2


async def test_a_peer_that_knows_no_contexts_goes_on_working(telemetry: Telemetry, tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    shutil.copy(reference_service.__file__, tmp_path / "reference" / "main.py")
    async with Runner(modules=[tmp_path]) as runner, runner.start("reference") as task:
        assert not task.handle.channel.connection.tracing
        with telemetry.tracer.start_as_current_span("mine"):
            assert await asyncio.gather(*(task.call("add", 1, 2, third=3.5) for _ in range(3))) == [6.5] * 3
        with pytest.raises(RemoteError):
            await task.call("subtract")
    assert len(telemetry.calls) == 4
