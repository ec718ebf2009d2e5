"""Network namespaces by name, and the processes in them: whatever is in one of ours is ours."""

import os
from pathlib import Path

import psutil

from tests.cluster.command import execute, until

__all__ = ["PREFIX", "add", "existing", "exists", "file", "first_process", "has_name", "processes", "remove"]

PREFIX = "parcs-"
"""What the names of the cluster's namespaces begin with."""

_NAMED = Path("/run/netns")
_GONE = 10.0  # seconds that killed processes may take to vanish


def file(name: str) -> Path:
    """Return a namespace's file."""
    return _NAMED / name


def existing() -> list[str]:
    """Name the cluster's namespaces."""
    return sorted(path.name for path in _NAMED.glob(f"{PREFIX}*"))


def exists(name: str) -> bool:
    """Return whether a namespace is there, whole: its file has it mounted on itself."""
    return os.path.ismount(file(name))


def add(name: str) -> None:
    """Create a namespace, or complete one that a killed process has left incomplete."""
    if not exists(name):
        file(name).unlink(missing_ok=True)
        execute("ip", "netns", "add", name)
    execute("ip", "-n", name, "link", "set", "lo", "up")


def processes(name: str) -> list[psutil.Process]:
    """Find the processes of this machine whose network is the namespace's."""
    try:
        namespace = file(name).stat()
    except FileNotFoundError:
        return []
    found = []
    for process in psutil.process_iter():
        try:
            if os.path.samestat(os.stat(f"/proc/{process.pid}/ns/net"), namespace):
                found.append(process)
        except OSError:  # it has ended since
            pass
    return found


def has_name(process: psutil.Process, *names: str) -> bool:
    """Return whether a process still runs and has one of these names."""
    try:
        return process.name() in names
    except psutil.NoSuchProcess:
        return False


def first_process(name: str) -> psutil.Process | None:
    """Find the process that is number 1 of a PID namespace directly below this one's."""
    for process in processes(name):
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            continue
        if f"\nNSpid:\t{process.pid}\t1\n" in status:
            return process
    return None


def remove(name: str) -> None:
    """Kill what runs in a namespace and remove it with all its interfaces."""
    # A zombie is in no namespace: how soon its parent takes note of its end is of no concern.
    until(lambda: not _kill(name), _GONE, f"processes in the network namespace {name} outlive SIGKILL")
    if exists(name):
        execute("ip", "netns", "del", name)
    file(name).unlink(missing_ok=True)


def _kill(name: str) -> list[psutil.Process]:
    alive = processes(name)
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            pass
    return alive
