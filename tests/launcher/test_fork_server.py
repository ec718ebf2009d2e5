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

from aioparcs.messages.launcher import DATAGRAM_SIZE, Exited, Kill, Start, Started, read_datagram, to_datagram
from aioparcs.wire import FrameType

pytestmark = pytest.mark.slow

# A fork server whose agent is the test; its workers wait for SIGTERM.
SERVER = """
import os, resource, signal, socket, sys
from aioparcs.address import Address
from aioparcs.launcher.process.exiting import inherited_state
from aioparcs.launcher.fork_server import ForkServer
from aioparcs.launcher.context import RunnerEndpoint
home = RunnerEndpoint(Address.parse("tcp://127.0.0.1:1"), "job", 0, b"", None)
class Waiting:
    name = "waiting"
    def run(self, context): return signal.pause() or 0
control = socket.socket(fileno=int(sys.argv[1]))
fork_server = ForkServer(home, control, 1, Waiting(), inherited_state(), fork=True)
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


def receive(control: socket.socket) -> Any:
    data, descriptors, _, _ = socket.recv_fds(control, DATAGRAM_SIZE, 1)
    for descriptor in descriptors:
        os.close(descriptor)
    return read_datagram(data)


def datagram(type: int, *values: Any) -> bytes:
    return bytes([type]) + msgpack.packb(values)


@pytest.mark.parametrize(
    "request_",
    [
        datagram(FrameType.KILL, 7, 9.0),
        datagram(FrameType.KILL, 7, 12345),
        datagram(FrameType.KILL, 7, "9"),
        datagram(FrameType.KILL),
        datagram(FrameType.START, 8, 1, 8, 1, {}, "x" * DATAGRAM_SIZE),
        datagram(FrameType.START, 8, "1", 8, 1, {}, None),
        datagram(FrameType.START, 8, 1, "8", 1, {}, None),
        datagram(FrameType.START, 8, 1, 8, 1, {"memory": 0}, None),
        datagram(FrameType.START, 8, 1, 8, 1, {"memory": 2**64 - 1}, None),
        datagram(FrameType.START, 8, 1, 8, 1, {"memory": "1g"}, None),
        datagram(FrameType.LOG),
        datagram(5),
        b"\xff",
    ],
)
def test_invalid_requests_to_the_fork_server_affect_no_worker(request_: bytes) -> None:
    with fork_server() as control:
        control.send(to_datagram(Start(7, 1, 7, 1, {})))
        started = receive(control)
        assert isinstance(started, Started)
        assert started.worker == 7
        control.send(request_)
        control.send(to_datagram(Kill(7, signal.SIGKILL)))
        assert receive(control) == Exited(7, -signal.SIGKILL, [])


@pytest.mark.parametrize("limits", [{"memory": 1 << 20}, {"cpus": 0}, {"cpus": 1e9}])
def test_limits_that_cannot_be_kept_are_reported(limits: dict[str, Any]) -> None:
    with fork_server() as control:
        control.send(to_datagram(Start(7, 2, 7, 2, limits)))
        for worker in 7, 8:
            number, code, (reason,), _ = receive(control)
            assert (number, code) == (worker, None)
            assert reason.startswith(f"{next(iter(limits))}=")


NO_FILES = "resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(1), 4096))"  # the lowest number that was free


@pytest.mark.parametrize(
    "before, limits, reason",
    [
        (NO_FILES, {}, "Too many open files; its launcher may have"),
        (NO_FILES, {"memory": 1 << 30}, "Too many open files; its launcher may have"),
        ("ForkServer._fork_worker = lambda *_: bytes(1 << 60)", {}, "MemoryError()"),
    ],
    ids=["no files", "no files to look what it holds", "no memory"],
)
def test_each_worker_that_cannot_be_forked_is_reported(before: str, limits: dict[str, Any], reason: str) -> None:
    with fork_server(before) as control:
        control.send(to_datagram(Start(7, 2, 7, 2, limits)))
        for worker in 7, 8:
            number, code, (text,), _ = receive(control)
            assert (number, code) == (worker, None)
            assert text.startswith(f"can't make a process for it: {reason}")
