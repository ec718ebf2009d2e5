"""The fork server answers what makes no sense, and goes on."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
import pytest

from aioparcs.launcher.fork_server import MESSAGE_SIZE

# A fork server whose control side is the test; its workers wait for SIGTERM.
SERVER = """
import os, resource, signal, socket, sys
from aioparcs.address import Address
from aioparcs.launcher.exiting import take_stock
from aioparcs.launcher.fork_server import ForkServer
from aioparcs.launcher.context import RunnerEndpoint
home = RunnerEndpoint(Address.parse("tcp://127.0.0.1:1"), "job", 0, b"", None)
control = socket.socket(fileno=int(sys.argv[1]))
fork_server = ForkServer(home, control, 1, lambda place: signal.pause() or 0, take_stock(), fork=True)
{before}
sys.exit(fork_server.serve(0))
"""


@contextmanager
def fork_server(before: str = "") -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-c", SERVER.format(before=before), str(theirs.fileno())]
    with subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE) as server, ours:
        theirs.close()
        ours.settimeout(20)
        try:
            yield ours
            assert server.poll() is None
        finally:
            server.terminate()
            server.communicate()


def ask(control: socket.socket, *request: Any) -> None:
    control.send(msgpack.packb(request))


def hear(control: socket.socket) -> list[Any]:
    data, descriptors, _, _ = socket.recv_fds(control, MESSAGE_SIZE, 1)
    for descriptor in descriptors:
        os.close(descriptor)
    heard: list[Any] = msgpack.unpackb(data)
    return heard


@pytest.mark.parametrize(
    "request_",
    [
        ("kill", 7, 9.0),
        ("kill", 7, 12345),
        ("kill", 7, "9"),
        ("kill",),
        ("spawn", 8, 1, 8, 1, {}, "x" * MESSAGE_SIZE),
        ("spawn", 8, "1", 8, 1, {}, None),
        ("spawn", 8, 1, "8", 1, {}, None),
        5,
    ],
)
def test_requests_that_make_no_sense_harm_no_worker(request_: Any) -> None:
    with fork_server() as control:
        ask(control, "spawn", 7, 1, 7, 1, {}, None)
        event, worker, _ = hear(control)
        assert (event, worker) == ("started", 7)
        control.send(msgpack.packb(request_))
        ask(control, "kill", 7, signal.SIGKILL)
        heard = hear(control)
        if heard[:2] == ["failed", 8]:
            heard = hear(control)
        assert heard[:3] == ["exited", 7, -signal.SIGKILL]


@pytest.mark.parametrize("limits", [{"memory": 2**64 - 1}, {"memory": 0}, {"memory": "1g"}, {"cpus": 0}, {"cpus": 1e9}])
def test_limits_that_cannot_be_kept_are_an_answer(limits: dict[str, Any]) -> None:
    with fork_server() as control:
        ask(control, "spawn", 7, 2, 7, 2, limits, None)
        for worker in 7, 8:
            event, number, reason = hear(control)
            assert (event, number) == ("failed", worker)
            assert f"{next(iter(limits))}={next(iter(limits.values()))!r}: " in reason


NO_FILES = "resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(1), 4096))"  # the lowest number that was free


@pytest.mark.parametrize(
    "before, limits, reason",
    [
        (NO_FILES, {}, "Too many open files; its launcher may have"),
        (NO_FILES, {"memory": 1 << 30}, "Too many open files; its launcher may have"),
        ("ForkServer._spawn = lambda *_: bytes(1 << 60)", {}, "MemoryError()"),
    ],
    ids=["no files", "no files to look what it holds", "no memory"],
)
def test_each_worker_that_can_not_be_made_is_an_answer(before: str, limits: dict[str, Any], reason: str) -> None:
    with fork_server(before) as control:
        ask(control, "spawn", 7, 2, 7, 2, limits, None)
        for worker in 7, 8:
            event, number, text = hear(control)
            assert (event, number) == ("failed", worker)
            assert text.startswith(f"can't make a process for it: {reason}")
