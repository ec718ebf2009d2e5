"""The processes that workers leave running: they are killed, also those that fork meanwhile, except for trackers."""

import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from aioparcs.launcher import remains
from aioparcs.launcher.remains import kill_remains

# Forks when it is told to; its child says so, and stays.
FORKING = "import os, signal; input(); pid = os.fork(); print(pid, flush=True) if not pid else None; signal.pause()"


@contextmanager
def leader(*command: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command as the leader of a group."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, bufsize=0, start_new_session=True) as process:
        try:
            yield process
        finally:
            remains._signal(-process.pid, signal.SIGKILL)


def test_a_process_that_forks_meanwhile_is_killed_with_its_group(monkeypatch: pytest.MonkeyPatch) -> None:
    look = remains._processes
    with leader(sys.executable, "-c", FORKING) as process:
        assert process.stdin
        assert process.stdout

        def fork_after_looking() -> list[int]:
            found = look()
            assert process.stdin
            assert process.stdout
            process.stdin.write(b"\n")
            assert not select.select([process.stdout], [], [], 0.3)[0], "it has forked"
            return found

        monkeypatch.setattr(remains, "_processes", fork_after_looking)
        assert not kill_remains(process.pid, patient=True)
        assert process.wait(5) == -signal.SIGKILL
        assert process.stdout.read() == b""  # no process has it open


def test_a_process_in_its_exec_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remains, "_command", lambda pid: b"")
    with leader("cat") as process:
        assert kill_remains(process.pid, patient=True)
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"it goes on\n")
        assert process.stdout.readline() == b"it goes on\n"
        assert not kill_remains(process.pid, patient=False)
        assert process.wait(5) == -signal.SIGKILL
