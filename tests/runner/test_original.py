"""
The original wire, against plain sockets that speak it as its description says.

Port 4444; SYN, answered by ACK; then messages, each an 8-byte big-endian length and JSON, in two sends.
"""

import asyncio
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aioparcs import EncodeError, EndOfChannel, StartError, WorkerLost
from tests.peers.original_runner.main import Connection
from tests.support.jobs import ENVIRONMENT, MODULES, EventRecorder, family, gone, job, module
from tests.support.waiting import PATIENCE, until

pytestmark = [pytest.mark.slow, pytest.mark.one_loop, pytest.mark.usefixtures("original_port")]

PORT = 4444
PEERS = Path(__file__).parents[1] / "peers"


# A runner of ours, a service of theirs


@pytest.fixture
def original(tmp_path: Path) -> Path:
    return module(tmp_path, "original", (PEERS / "original_service" / "main.py").read_text())


async def test_a_runner_drives_an_original_service(original: Path) -> None:
    recorder = EventRecorder()
    async with job(original, recorder=recorder, start_timeout=PATIENCE) as runner:
        async with runner.start("original", wire="v1") as t:
            await t.send_all(["divisors"], 90, 1, 91)
            assert await t.recv() == [1, 2, 3, 5, 6, 9, 10, 15, 18, 30, 45, 90]
            values: list[Any] = [None, True, 1, 1.5, "größer", [1, [2]], {"a": {"b": []}}, "x" * 3_000_000]
            await t.send(["echo", *values])
            assert [await t.recv() for _ in values] == values
            await t.send(["exit", 0])
            with pytest.raises(EndOfChannel):
                await t.recv()
    assert recorder.lines[None] == ["leader tcp://127.0.0.1:4321", "last words"]
    assert recorder.events[-1] == ("ended", "original", 0, None)


@pytest.mark.parametrize("value", [b"bytes", {"rows": [{1}]}, object()])
async def test_values_that_json_cannot_hold_are_refused_here(original: Path, value: Any) -> None:
    async with job(original) as runner, runner.start("original", wire="v1") as t:
        with pytest.raises(EncodeError):
            await t.send(["echo", value])
        await t.send(["echo", 1])
        assert await t.recv() == 1


@pytest.mark.parametrize("verb", ["half", "exit"])
async def test_an_original_service_that_dies_is_lost_with_its_last_lines(original: Path, verb: str) -> None:
    async with job(original) as runner, runner.start("original", wire="v1") as t:
        await t.send_all(["echo", 1], [verb, 7])
        assert await t.recv() == 1
        with pytest.raises(WorkerLost, match="worker original:0 ended with exit code 7") as caught:
            await t.recv()
        assert caught.value.last_lines[-1] == {"half": "half a message", "exit": "last words"}[verb]


async def test_an_original_service_outlives_its_start_and_not_its_job(original: Path) -> None:
    async with job(original, start_timeout=5.0) as runner:
        t = await runner.start("original", wire="v1")
        with pytest.raises(StartError, match="needs port 4444"):
            await runner.start("original", wire="v1")
        loop = asyncio.get_running_loop()
        over = loop.time() + 5.1
        while loop.time() < over:  # its start's deadline passes meanwhile
            await t.send(["echo", 1])
            assert await t.recv() == 1
            await asyncio.sleep(0.05)
        await t.kill()
        async with runner.start("original", wire="v1") as again:
            await again.send(["echo", 2])
            assert await again.recv() == 2
        await runner.start("original", wire="v1")
    assert not family()


async def test_an_original_service_that_never_listens(tmp_path: Path) -> None:
    module(tmp_path, "dead", "print('why'); raise SystemExit(3)")
    module(tmp_path, "deaf", "import time; time.sleep(60)")
    async with job(tmp_path, start_timeout=60.0) as runner:
        tasks = asyncio.all_tasks()
        with pytest.raises(StartError, match=r"ended with exit code 3 before it answered the runner.*\n *why"):
            await runner.start("dead", wire="v1")
        await until(lambda: asyncio.all_tasks() <= tasks)  # none that would dial the next service on this port
    async with job(tmp_path, start_timeout=0.5) as runner:
        with pytest.raises(StartError, match=r"within 0\.5 s"):
            await runner.start("deaf", wire="v1")
        await gone(family())


# A service of ours, a runner of theirs


@contextmanager
def service(**env: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, str(MODULES / "talker" / "main.py")],
        env=ENVIRONMENT | {"LEADER_URL": "tcp://127.0.0.1:4321"} | env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def connect() -> socket.socket:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            sock = socket.create_connection(("127.0.0.1", PORT))
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        else:
            sock.settimeout(PATIENCE)
            return sock


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    out, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, out


def messages(log: str) -> list[str]:
    """Return the lines of a log without their times."""
    return [line.partition(" - ")[2] or line for line in log.splitlines()]


def test_a_service_serves_an_original_runner_and_logs_what_the_original_does() -> None:
    with service() as process:
        with connect() as sock:
            runner = Connection(sock)
            runner.send(["echo", 1, "größer", [None, 1.5]])
            assert [runner.recv() for _ in range(3)] == [1, "größer", [None, 1.5]]
            runner.send(["who"])
            assert runner.recv()[:3] == [0, 1, 0]
            runner.send(["report_progress", 1, 2])  # progress has no display, and is no error
            assert runner.recv() == "reported"
        code, log = finish(process)
    assert code == 0
    assert messages(log) == [
        "INFO Welcome to PARCS-Python!",
        "INFO Client from 127.0.0.1 connected",
        "INFO Running your program...",
        "INFO Bye!",
    ]


def test_other_connections_to_the_port_do_not_keep_the_runner_away() -> None:
    with service(PARCS_HANDSHAKE_TIMEOUT="60") as process:
        with connect() as silent, connect() as web, connect() as closed:
            web.sendall(b"GET / HTTP/1.1\r\n\r\n")
            closed.close()
            assert web.recv(100) == b""
            with connect() as sock:
                runner = Connection(sock)
                runner.send(["echo", 1])
                assert runner.recv() == 1
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", PORT))
                assert silent.recv(1) == b""
        code, log = finish(process)
    assert code == 0
    assert sum("WARNING Refused a connection" in line for line in messages(log)) >= 2


@pytest.mark.parametrize(
    "message, code, line",
    [
        (["fail", "ValueError", "why"], 1, "ValueError: why"),
        (
            ["unserialisable"],
            1,
            "aioparcs.errors.EncodeError: $.rows[1]: object cannot be sent as JSON, and this channel speaks version 1",
        ),
        (["leave", 3], 3, "INFO Bye!"),
        (["leave", "what is wrong"], 1, "what is wrong"),
        (["leave", None], 0, "INFO Bye!"),
    ],
)
def test_how_the_service_ends(message: list[Any], code: int, line: str) -> None:
    with service() as process:
        with connect() as sock:
            runner = Connection(sock)
            runner.send(message)
            if message[0] == "leave":
                assert runner.recv() == "leaving"
            assert sock.recv(1) == b"", "the end of the stream, not a reset"
        ended, log = finish(process)
    assert ended == code
    assert line in messages(log)
    assert messages(log)[-1] == "INFO Bye!"
    assert "aioparcs/service" not in log


def test_a_runner_that_dies_in_mid_message() -> None:
    with service() as process:
        with connect() as sock:
            Connection(sock)
            sock.sendall(struct.pack(">Q", 100) + b'["ec')
        code, log = finish(process)
    assert code == 1
    assert messages(log)[-2:] == ["ERROR the peer's stream ended without a goodbye", "INFO Bye!"]


@pytest.mark.parametrize("connected", [False, True])
def test_sigterm_ends_the_service(connected: bool) -> None:
    with service() as process, connect() as sock:
        if connected:
            Connection(sock)
        process.send_signal(signal.SIGTERM)
        code, log = finish(process)
    assert code == 143
    assert messages(log)[-1] == "INFO Bye!"


def test_a_port_that_is_taken_is_one_clear_line() -> None:
    with socket.create_server(("0.0.0.0", PORT)), service() as process:
        code, log = finish(process)
    assert code == 1
    assert messages(log)[1] == "ERROR can't listen on tcp://0.0.0.0:4444: Address already in use"


def test_functions_have_no_original_wire() -> None:
    main = MODULES / "functions" / "main.py"
    done = subprocess.run(
        [sys.executable, str(main)], env={**os.environ, "LEADER_URL": "x"}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("this is a service: a runner starts it")
