"""The commands that show jobs on a page: their servers are processes, which end with what they are for."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import psutil
import pytest

from aioparcs.events import CallSpans
from aioparcs.recording import read_recording
from aioparcs.recording.history import history_of
from tests.support.command import COMMAND, ENVIRONMENT, TIMEOUT, run
from tests.support.jobs import family, left
from tests.support.page_client import ask

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

PROGRAM = """
import asyncio, os
from aioparcs import run

def work(n):
    return n

async def main(runner):
    async with runner.pool(work, 2) as pool:
        print(sum(await pool.map(range(10))), flush=True)
        while not os.path.exists("end"):
            await asyncio.sleep(0.01)

run(main)
"""


@pytest.fixture
def state(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of a user who has run nothing yet."""
    return str(tmp_path_factory.mktemp("s"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a program, and return the folder above it."""
    (tmp_path / "adding").mkdir()
    (tmp_path / "adding" / "main.py").write_text(PROGRAM)
    return tmp_path


@contextmanager
def started(*command: str | Path, cwd: Path | None = None, **env: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [str(part) for part in command], cwd=cwd, env=ENVIRONMENT | env, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def address_of(process: "subprocess.Popen[str]", *, error: bool = False) -> str:
    """Return the address that a command prints first."""
    stream = process.stderr if error else process.stdout
    assert stream
    line = stream.readline()
    found = re.search(r"https?://\S+", line)
    assert found, line
    return found[0]


def is_gone(address: str) -> bool:
    try:
        ask(address, "/api/cluster")
    except (URLError, ConnectionError):
        return True
    return False


def page_servers(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return the servers of one job among some processes."""
    found = []
    for one in processes:
        with suppress(psutil.Error):  # it has ended
            if "--beside" in one.cmdline():
                found.append(one)
    return found


def is_served(processes: list[psutil.Process]) -> bool:
    """Return whether a server of one job is among some processes."""
    return bool(page_servers(processes))


def histories(state: str) -> list[Path]:
    return sorted(Path(state, "aioparcs/jobs").glob("*.jsonl"))


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_server_ends_by_a_signal(state: str, number: signal.Signals, code: int) -> None:
    with started(*COMMAND, "ui", "--port", "0", XDG_STATE_HOME=state) as server:
        address = address_of(server)
        assert ask(address, "/api/jobs") == {"jobs": []}
        server.send_signal(number)
        out, err = server.communicate(timeout=TIMEOUT)
        assert (server.returncode, out, err) == (code, "", "")
    assert is_gone(address)


def test_the_file_that_leads_a_browser_to_the_page_does_not_outlive_a_killed_server(state: str, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text("#!/bin/sh\n")
    browser.chmod(0o755)
    for number in (signal.SIGKILL, signal.SIGINT):
        with started(*COMMAND, "ui", "--port", "0", "--open", XDG_STATE_HOME=state, BROWSER=str(browser)) as server:
            address = address_of(server)
            files = list(Path(state, "aioparcs").glob("open-*.html"))
            assert len(files) == 1, "that of the one before is gone"
            assert address in files[0].read_text()
            assert files[0].stat().st_mode & 0o777 == 0o600
            server.send_signal(number)
            server.wait(TIMEOUT)
    assert list(Path(state, "aioparcs").glob("open-*.html")) == []


def test_a_server_goes_on_where_nothing_can_be_written(state: str) -> None:
    remains = Path(state, "aioparcs/open-1.html")
    remains.mkdir(parents=True)  # which is no file, and stays
    command = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *COMMAND]
    with started(*command, "ui", "--port", "0", "--open", XDG_STATE_HOME=state, BROWSER="false") as server:
        assert ask(address_of(server), "/api/jobs") == {"jobs": []}
        server.send_signal(signal.SIGINT)
        _, error = server.communicate(timeout=TIMEOUT)
    first, second = error.splitlines()
    assert first.startswith("no browser is opened, ")
    assert second.startswith("programs can't find this server, ")
    assert first.endswith(".html can't be written: File too large")
    assert list(remains.parent.glob("open-*")) == [remains]


def test_pages_go_on_after_the_server_was_started_again(state: str) -> None:
    with started(*COMMAND, "ui", "--port", "0", XDG_STATE_HOME=state) as first:
        address = address_of(first)
        port = str(urlsplit(address).port)
        first.send_signal(signal.SIGTERM)
        first.wait(TIMEOUT)
    with started(*COMMAND, "ui", "--port", port, XDG_STATE_HOME=state) as second:
        assert address_of(second) == address
    state_file = Path(state, "aioparcs/ui.json")
    assert state_file.stat().st_mode & 0o77 == 0
    os.utime(state_file, (1, 1))
    with started(*COMMAND, "ui", "--port", port, XDG_STATE_HOME=state) as third:
        assert address_of(third) != address


def test_a_taken_port_is_an_error(state: str) -> None:
    with started(*COMMAND, "ui", "--port", "0", XDG_STATE_HOME=state) as server:
        port = urlsplit(address_of(server)).port
        done = run("ui", "--port", str(port), XDG_STATE_HOME=state)
        assert done.returncode == 2
        assert f"127.0.0.1:{port} can't be used: Address already in use; choose another by --port" in done.stderr


def test_a_file_with_a_token_for_metrics_is_made_once(state: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    options = ("ui", "--port", "0", "--metrics-token", str(file))
    tokens = []
    for _ in range(2):
        with started(*COMMAND, *options, XDG_STATE_HOME=state) as server:
            url = urlsplit(address_of(server))
            tokens.append(file.read_text().strip())
            request = Request(f"http://{url.netloc}/metrics", headers={"Authorization": f"Bearer {tokens[-1]}"})
            with urlopen(request, timeout=TIMEOUT) as answer:
                assert b"aioparcs_build_info" in answer.read()
    assert tokens[0] == tokens[1]
    assert file.stat().st_mode & 0o77 == 0


@pytest.mark.parametrize("content, reason", [("short", "at least 20 characters"), ("é" * 30, "can't be read")])
def test_a_token_for_metrics_that_is_none_is_an_error(state: str, tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "token").write_text(content)
    done = run("ui", "--port", "0", "--metrics-token", str(tmp_path / "token"), XDG_STATE_HOME=state)
    assert done.returncode == 2
    assert reason in done.stderr


@pytest.mark.parametrize("options", [["--host", "0.0.0.0"], ["--tls-key", __file__]], ids=str)
def test_options_that_are_not_safe_are_errors(state: str, options: list[str]) -> None:
    done = run("ui", *options, XDG_STATE_HOME=state)
    assert done.returncode == 2
    assert "--tls-cert" in done.stderr


@pytest.mark.parametrize("how", ["option", "variable", "program"])
def test_a_run_is_shown_while_it_lasts(folder: Path, state: str, how: str) -> None:
    if how == "program":
        command: list[str | Path] = [sys.executable, folder / "adding" / "main.py"]
    else:
        command = [*COMMAND, "run", folder / "adding", *(["--ui"] if how == "option" else [])]
    page = "0" if how == "option" else "1"
    with started(*command, cwd=folder, XDG_STATE_HOME=state, PARCS_UI=page) as process:
        address = address_of(process, error=True)
        assert process.stdout
        assert process.stdout.readline() == "45\n"
        (name,) = parse_qs(urlsplit(address).fragment)["job"]
        processes = family(process.pid)
        deadline = time.monotonic() + TIMEOUT
        while (message := ask(address, f"/api/jobs/{name}"))["overview"]["calls"] < 10:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert message["overview"]["state"] == "running"
        assert message["overview"]["items"]["done"] == 10
        (folder / "end").touch()
        assert process.wait(TIMEOUT) == 0
    assert is_gone(address)
    assert not left(processes)
    (path,) = histories(state)
    assert any(isinstance(event, CallSpans) for event in read_recording(path).events)


def test_a_server_beside_a_run_may_write_as_much_as_it_likes(folder: Path, state: str) -> None:
    with started(*COMMAND, "run", folder / "adding", "--ui", cwd=folder, XDG_STATE_HOME=state) as process:
        address = address_of(process, error=True)
        (server,) = page_servers(family(process.pid))
        errors = os.open(f"/proc/{server.pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK)
        try:
            for _ in range(64):
                assert os.write(errors, b"x" * 16_384) == 16_384, "a pipe would be full"
        finally:
            os.close(errors)
        assert ask(address, "/api/cluster")
        (folder / "end").touch()
        assert process.wait(TIMEOUT) == 0


@pytest.mark.parametrize("number", [0, signal.SIGINT])
def test_a_history_that_is_not_kept_is_there_for_the_page_alone(folder: Path, state: str, number: int) -> None:
    command: list[str | Path] = [*COMMAND, "run", folder / "adding", "--ui"]
    with started(*command, cwd=folder, XDG_STATE_HOME=state, PARCS_HISTORY="off") as process:
        address = address_of(process, error=True)
        (name,) = parse_qs(urlsplit(address).fragment)["job"]
        assert process.stdout
        process.stdout.readline()
        assert ask(address, f"/api/jobs/{name}")["overview"]["state"] == "running"
        assert len(histories(state)) == 1
        (folder / "end").touch() if not number else process.send_signal(number)
        process.wait(TIMEOUT)
    assert list(Path(state, "aioparcs/jobs").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_no_server(folder: Path, state: str, number: signal.Signals) -> None:
    with started(*COMMAND, "run", folder / "adding", "--ui", cwd=folder, XDG_STATE_HOME=state) as process:
        address = address_of(process, error=True)
        assert process.stdout
        process.stdout.readline()
        processes = family(process.pid)
        assert is_served(processes)
        process.send_signal(number)
        process.wait(TIMEOUT)
    assert not left(processes)
    assert is_gone(address)


def test_the_users_server_shows_a_run_if_there_is_one(folder: Path, state: str) -> None:
    with started(*COMMAND, "ui", "--port", "0", XDG_STATE_HOME=state) as server:
        address = address_of(server)
        with started(*COMMAND, "run", folder / "adding", "--ui", cwd=folder, XDG_STATE_HOME=state) as process:
            shown = address_of(process, error=True)
            assert shown.startswith(f"{address}&job=adding-")
            assert process.stdout
            process.stdout.readline()
            assert not is_served(family(process.pid))
            (folder / "end").touch()
            assert process.wait(TIMEOUT) == 0
        assert ask(address, "/api/jobs")["jobs"][0]["state"] == "done"


def test_a_page_that_cannot_be_shown_does_not_stop_the_run(folder: Path, state: str) -> None:
    (folder / "end").touch()
    (folder / "aioparcs").mkdir()  # it is not the package
    done = run("run", folder / "adding", "--ui", cwd=folder, XDG_STATE_HOME=state, PARCS_MODULES=str(folder))
    assert (done.returncode, done.stdout) == (0, "45\n")
    assert done.stderr.startswith("page: http://127.0.0.1:")


def test_a_history_that_cannot_be_written_is_an_error_if_it_is_to_be_shown(folder: Path) -> None:
    done = run("run", folder / "adding", "--ui", XDG_STATE_HOME="/proc/none")
    assert done.returncode == 2
    assert "the history of the job can't be written in $XDG_STATE_HOME" in done.stderr


def test_a_detached_run_is_not_shown(folder: Path) -> None:
    done = run("run", folder / "adding", "--on", "swarm", "--detach", "--ui")
    assert done.returncode == 2
    assert "--ui shows a run that is followed; use it without --detach" in done.stderr


ENTERED = """
import asyncio, os, sys
from aioparcs import Runner
from work import work

async def main():
    for turn in range(2):
        async with Runner() as runner, runner.pool(work, 2) as pool:
            print(sum(await pool.map(range(10))), flush=True)
            while not os.path.exists(f"end{turn}"):
                await asyncio.sleep(0.01)
    try:
        async with Runner():
            raise ValueError("no")
    except ValueError:
        sys.argv[0] = "/lib/ipykernel_launcher.py"
    async with Runner():
        pass

asyncio.run(main())
"""


def test_runners_of_another_program_are_shown_if_a_variable_says_so(tmp_path: Path, state: str) -> None:
    (tmp_path / "work.py").write_text("def work(n):\n    return n\n")
    (tmp_path / "entered.py").write_text(ENTERED)
    command: list[str | Path] = [sys.executable, tmp_path / "entered.py"]
    variables = {"XDG_STATE_HOME": state, "PARCS_UI": "1", "JPY_SESSION_NAME": "/home/user/squares.ipynb"}
    with started(*command, cwd=tmp_path, **variables) as process:
        for turn in range(2):
            address = address_of(process, error=True)
            assert process.stdout
            assert process.stdout.readline() == "45\n"
            (name,) = parse_qs(urlsplit(address).fragment)["job"]
            assert ask(address, f"/api/jobs/{name}")["overview"]["state"] == "running"
            assert ask(address, f"/api/jobs/{name}/workers/0/stack")["stack"]
            (tmp_path / f"end{turn}").touch()
        assert process.wait(TIMEOUT) == 0
    ended = []
    for path in histories(state):
        recording = read_recording(path)
        view = history_of(recording)
        assert view.is_whole
        assert all(worker.ended for worker in view.workers.values())
        ended.append((path.name.partition("-")[0], recording.started.program, view.error))
    assert sorted(ended) == [
        ("entered", "entered.py", ""), ("entered", "entered.py", ""), ("entered", "entered.py", "ValueError: no"),
        ("squares", "squares.ipynb", ""),
    ]  # fmt: skip


def test_a_worker_is_killed_by_its_page(folder: Path, state: str) -> None:
    with started(*COMMAND, "ui", "--port", "0", "--control", XDG_STATE_HOME=state) as server:
        address = address_of(server)
        with started(*COMMAND, "run", folder / "adding", "--ui", cwd=folder, XDG_STATE_HOME=state) as process:
            (name,) = parse_qs(urlsplit(address_of(process, error=True)).fragment)["job"]
            assert process.stdout
            process.stdout.readline()
            answer = ask(address, f"/api/jobs/{name}/workers/0/kill", body={})
            assert answer["ok"]
            deadline = time.monotonic() + TIMEOUT
            # The page is behind the program: it may not have seen the workers yet.
            while len(rows := ask(address, f"/api/jobs/{name}")["workers"]) < 3 or rows[0]["state"] != "stopped":
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert len(rows) == 3
            (folder / "end").touch()
            process.wait(TIMEOUT)
        server.send_signal(signal.SIGINT)
        _, lines = server.communicate(timeout=TIMEOUT)
        assert f"{name}: kill worker 0" in lines
