"""Leaks of a test: descriptors, children, asyncio tasks, orphaned processes. Linux only."""

import asyncio
import os
import socket
from dataclasses import dataclass

import psutil

__all__ = ["SESSION", "Snapshot", "descendants", "tasks_left"]

SESSION = "AIOPARCS_TEST_SESSION"
"""Environment variable that marks every process which descends from this run of the tests."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The descriptors and the children of this process at one moment."""

    descriptors: dict[int, str]
    children: frozenset[int]

    @classmethod
    def take(cls) -> "Snapshot":
        """Look at this process now (some microseconds for each descriptor)."""
        return cls(_descriptors(), frozenset(child.pid for child in _children()))

    def leaks(self) -> list[str]:
        """Name what is there now and was not when this snapshot was taken."""
        opened = {fd: link for fd, link in _descriptors().items() if self.descriptors.get(fd) != link}
        started = [child for child in _children() if child.pid not in self.children]
        return [_describe(fd, link) for fd, link in opened.items()] + [_command(child) for child in started]


def tasks_left(before: set["asyncio.Task[object]"]) -> list[str]:
    """Name the tasks of the running loop that are not in `before` and not the test runner's own."""
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    return [repr(task) for task in left if "_call_in_runner_task" not in repr(task.get_coro())]


def descendants(session: str, timeout: float) -> list[str]:
    """Name the processes marked with `session` that outlive `timeout` seconds, this one excepted."""
    marked = [
        process
        for process in psutil.process_iter(["environ"])
        if process.pid != os.getpid() and (process.info["environ"] or {}).get(SESSION) == session
    ]
    _, alive = psutil.wait_procs(marked, timeout)
    return [_command(process) for process in alive]


def _descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # the one that listdir itself had open
            continue
    return found


def _children() -> list[psutil.Process]:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # none at all
        return []
    pids = {int(name) for name in os.listdir("/proc") if name.isdecimal()}
    found = [process for pid in pids - _others if (process := _own_child(pid))]
    _others.clear()
    _others.update(pids.difference(process.pid for process in found))
    return found


_others: set[int] = set()
"""Processes that were no children of this one when they were looked at, and so never will be."""


def _own_child(pid: int) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        return process if process.ppid() == os.getpid() else None
    except psutil.NoSuchProcess:
        return None


def _describe(fd: int, link: str) -> str:
    if not link.startswith("socket:"):
        return f"descriptor {fd}: {link}"
    with socket.socket(fileno=os.dup(fd)) as sock:
        listening = " listening" if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) else ""
        return f"descriptor {fd}: {sock.family.name} socket{listening} at {sock.getsockname()!r}"


def _command(process: psutil.Process) -> str:
    try:
        return f"process {process.pid} ({process.status()}): {' '.join(process.cmdline())}"
    except psutil.Error:
        return f"process {process.pid} (zombie or gone)"
