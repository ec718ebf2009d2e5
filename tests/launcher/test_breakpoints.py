"""``breakpoint()`` in a worker: a debugger on the runner's terminal, or one line about why there is none."""

import asyncio
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import TIMEOUT
from tests.support.dialogue import dialogue
from tests.support.jobs import EventRecorder, job, module
from tests.support.waiting import until

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

WORKER = """
import asyncio
from aioparcs import Service, serve
{top}
def plain(n):
    breakpoint()
    square = n * n
    return square
async def coroutine(n):
    breakpoint()
    await asyncio.sleep(0)
    return n * n
serve(plain, coroutine, fork={fork})
"""
RUNNER = """
from aioparcs import RemoteError, run
async def main(runner):
    async with runner.pool("stopping", 2, function="{function}") as pool:
        results = await pool.map([3, 4, 5], return_exceptions=True)
    print("results", *(getattr(result, "type", result) for result in results))
run(main)
"""
PROMPT = r"\(Pdb stopping:\d\) $"


def _project(folder: Path, function: str = "plain", fork: bool = True, top: str = "") -> Path:
    module(folder, "stopping", WORKER.format(fork=fork, top=top))
    return module(folder, "runner", RUNNER.format(function=function))


@pytest.mark.parametrize("fork", [True, False])
def test_workers_take_turns_and_the_display_waits_meanwhile(tmp_path: Path, fork: bool) -> None:
    with dialogue("-m", "aioparcs", "run", "runner", cwd=_project(tmp_path, fork=fork)) as program:
        for _ in range(3):
            begun = program.expect(PROMPT)
            assert begun.count("has stopped at a breakpoint: c goes on, Ctrl-C ends the whole program") == 1
            assert "square = n * n" in begun
            program.type("p 'n is', n\n")
            assert "('n is', " in program.expect(PROMPT)
            program.type("import time; time.sleep(0.5)\n")  # the display would draw a few times
            assert re.fullmatch(rf"import time; time\.sleep\(0\.5\)\n{PROMPT}", program.expect(PROMPT))
            program.type("c\n")
        program.expect("results 9 16 25")
        assert program.wait() == 0
        assert "3 of 3" in program.text


@pytest.mark.parametrize("function", ["plain", "coroutine"])
def test_a_session_ends_with_the_function(tmp_path: Path, function: str) -> None:
    with dialogue("runner/main.py", cwd=_project(tmp_path, function)) as program:
        stops = 0
        while "results" not in program.expect(rf"{PROMPT}|results 9 16 25"):
            stops += 1
            program.type("n\n")
        assert program.wait() == 0
        assert program.text.count("has stopped at a breakpoint") == 3
        assert stops > 6


def test_quitting_fails_the_call(tmp_path: Path) -> None:
    with dialogue("runner/main.py", cwd=_project(tmp_path)) as program:
        for command in "cqc":
            program.expect(PROMPT)
            program.type(f"{command}\n")
        program.expect("results .*bdb.BdbQuit")
        assert program.wait() == 0


def test_ctrl_c_ends_the_program_and_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    with dialogue("-m", "aioparcs", "run", "runner", cwd=_project(tmp_path)) as program:
        before = termios.tcgetattr(program.terminal)
        program.expect(PROMPT)
        program.type("\x03")
        assert program.wait() == 130
        assert termios.tcgetattr(program.terminal) == before


SERVICE = """
from aioparcs import Service, serve
class Stopping(Service):
    async def run(self):
        async for n in self:
            breakpoint()
            await self.send(n * n)
serve(Stopping)
"""
ONE = """
from aioparcs import run
async def main(runner):
    async with runner.start("stopping") as t:
        await t.send(3)
        print("result", await t.recv())
run(main)
"""


def test_a_service_stops_in_its_loop(tmp_path: Path) -> None:
    module(tmp_path, "stopping", SERVICE)
    module(tmp_path, "runner", ONE)
    with dialogue("runner/main.py", cwd=tmp_path) as program:
        program.expect(PROMPT)
        program.type("!n = 5\nc\n")
        program.expect("result 25")
        assert program.wait() == 0


PROGRAM = """
from aioparcs import run
{top}
def stopping(n):
    breakpoint()
    return n * n
async def main(runner):
    async with runner.pool(stopping, 1) as pool:
        print("results", *await pool.map([3, 4]))
run(main)
"""
THREAD = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"


@pytest.mark.parametrize("top", ["", THREAD], ids=["forked", "fresh interpreter"])
def test_a_worker_of_a_function_has_its_name(tmp_path: Path, top: str) -> None:
    (tmp_path / "main.py").write_text(PROGRAM.format(top=top))
    with dialogue("main.py", cwd=tmp_path) as program:
        for _ in range(2):
            program.expect(PROMPT)
            program.type("c\n")
        program.expect("results 9 16")
        assert program.wait() == 0


NOTHING = (
    "warning: breakpoint() at main.py:6 does nothing: its runner has no terminal (only a runner with the local engine, "
)


@pytest.mark.parametrize(
    "top, env, lines",
    [
        ("", {}, [f"{NOTHING}started from one, does); debugpy can attach to a worker anywhere"]),
        ("", {"PYTHONBREAKPOINT": "0"}, []),
        ("", {"PYTHONBREAKPOINT": "builtins.print"}, [""] * 3),
        ("import sys; sys.breakpointhook = lambda: print('own')", {}, ["own"] * 3),
    ],
)
async def test_without_a_terminal_a_breakpoint_is_one_line(
    tmp_path: Path, top: str, env: dict[str, str], lines: list[str]
) -> None:
    recorder = EventRecorder()
    async with job(_project(tmp_path, top=top), recorder=recorder) as runner, runner.start("stopping", env=env) as t:
        assert [await t.call("plain", n) for n in range(3)] == [0, 1, 4]
    assert recorder.lines.get(0, []) == lines


SHELL = """
import fcntl, os, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp("sh", ["sh", "-mc", "sleep 60 & echo $!; wait"])
"""


@pytest.fixture
def background() -> Iterator[str]:
    """Start a program in the background of a shell; return the shell's terminal and the program's process."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", SHELL]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, text=True, start_new_session=True) as shell:
        assert shell.stdout
        pid = int(shell.stdout.readline())
        yield f"{os.ttyname(theirs)} {pid}"
        os.kill(pid, signal.SIGKILL)
        shell.kill()
    os.close(ours)
    os.close(theirs)


async def test_a_runner_in_the_background_leaves_its_terminal_alone(
    tmp_path: Path, background: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARCS_TERMINAL", background)
    recorder = EventRecorder()
    async with job(_project(tmp_path), recorder=recorder) as runner, runner.start("stopping") as t:
        assert await t.call("plain", 3) == 9
    (line,) = recorder.lines[0]
    assert "does nothing: its runner runs in the background" in line


DEBUGPY = """
import debugpy
from pathlib import Path
from aioparcs import serve
def square(n):
    if not debugpy.is_client_connected():
        _, port = debugpy.listen(("127.0.0.1", 0))
        Path("port.new").write_text(str(port))
        Path("port.new").rename("port")
        debugpy.wait_for_client()
    breakpoint()
    return n * n
serve(square)
"""


class Editor:
    """An editor that has attached to debugpy: requests and events of the Debug Adapter Protocol."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self._stream = self._socket.makefile("rb")
        self._number = 0

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def send(self, command: str, **arguments: Any) -> None:
        self._number += 1
        request = {"seq": self._number, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(request).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    def recv(self, name: str) -> Any:
        """Receive up to an event, or the response to a command; return its body."""
        while True:
            size = int(self._stream.readline().split(b":")[1])
            self._stream.readline()
            message = json.loads(self._stream.read(size))
            if name in (message.get("event"), message.get("command")):
                assert message.get("success", True), message
                return message.get("body")


def _debug(port: int) -> str:
    """Attach to a worker, set a variable at its breakpoint, and go on; return where it stopped."""
    with closing(Editor(port)) as editor:
        editor.send("initialize", adapterID="test")
        editor.recv("initialize")
        editor.send("attach", justMyCode=True)
        editor.recv("initialized")
        editor.send("configurationDone")
        thread = editor.recv("stopped")["threadId"]
        editor.send("stackTrace", threadId=thread)
        frame, *_ = editor.recv("stackTrace")["stackFrames"]
        editor.send("evaluate", expression="n = 5", frameId=frame["id"], context="repl")
        editor.recv("evaluate")
        editor.send("continue", threadId=thread)
        editor.recv("continue")
        return f"{frame['name']} {frame['line']}"


async def test_debugpy_attaches_to_a_worker(tmp_path: Path) -> None:
    port = tmp_path / "debugged" / "port"
    async with job(module(tmp_path, "debugged", DEBUGPY)) as runner, runner.start("debugged") as t:
        result = asyncio.ensure_future(t.call("square", 3))
        await until(port.exists)
        assert await asyncio.to_thread(_debug, int(port.read_text())) == "square 12"
        assert await result == 25
