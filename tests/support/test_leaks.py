import asyncio
import os
import socket
import subprocess
import sys

import pytest

from tests.support.leaks import SESSION, Snapshot, descendants, tasks_left


def test_names_a_descriptor_by_its_file() -> None:
    before = Snapshot.take()
    fd = os.open("/dev/null", os.O_RDONLY)
    try:
        assert before.leaks() == [f"descriptor {fd}: /dev/null"]
    finally:
        os.close(fd)
    assert before.leaks() == []


def test_names_a_listening_abstract_socket_by_its_address() -> None:
    before = Snapshot.take()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"\0leaks-{os.getpid()}")
        sock.listen()
        (leak,) = before.leaks()
    assert "AF_UNIX socket listening" in leak
    assert f"leaks-{os.getpid()}" in leak


def test_names_a_running_child_and_a_zombie() -> None:
    before = Snapshot.take()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert any(leak.startswith(f"process {child.pid} ") for leak in before.leaks())
        assert any(f"process {child.pid} " in leak for leak in descendants(os.environ[SESSION], timeout=0))
        assert child.stdin is not None
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert any(f"process {child.pid} (zombie" in leak for leak in before.leaks())
    assert before.leaks() == []


async def test_names_a_task() -> None:
    before = asyncio.all_tasks()
    task = asyncio.create_task(asyncio.Event().wait(), name="forgotten")
    assert ["forgotten" in left for left in tasks_left(before)] == [True]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tasks_left(before) == []
