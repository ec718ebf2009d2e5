"""One process of the engine, a launcher or an installer: its start, its output, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from aioparcs.launcher.agent.lines import Lines
from aioparcs.launcher.process.prctl import die_with_parent
from aioparcs.launcher.remains import PATIENCE, PAUSE, groups_of, kill_remains

__all__ = ["Process"]

# Bytes that a pipe may hold when its writer has ended; what others write to it after that is not read.
_LARGEST_PIPE = 1 << 20


class Process:
    """
    A command in a session of its own, which the kernel kills when this process ends.

    Args:
        command: what to run, and its arguments.
        folder: where it runs.
        environ: its whole environment.
        inherit: descriptors that it inherits; they are closed here.
        keep: how many of its last lines are kept.
        on_line: called with each line that it prints.

    Attributes:
        exited: the exit code, as ``subprocess`` gives it, once it has ended.

    Raises:
        OSError: it can't be started.
    """

    def __init__(
        self,
        command: list[str],
        folder: Path,
        environ: Mapping[str, str],
        *,
        inherit: Sequence[int] = (),
        keep: int,
        on_line: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._lines = Lines(keep)
        self._on_line = on_line
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        parent = os.getpid()
        try:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=inherit,
                start_new_session=True,  # Ctrl-C is the runner's affair
                preexec_fn=lambda: die_with_parent(parent),  # one system call, from a library loaded before
            )
        finally:
            for descriptor in inherit:
                os.close(descriptor)
        assert self._process.stdout is not None
        self._pipe = self._process.stdout
        self._end = _pidfd_or_kill(self._process)
        os.set_blocking(self._pipe.fileno(), False)
        self._loop.add_reader(self._pipe, self._read)
        self._loop.add_reader(self._end, self._reap)

    @property
    def last(self) -> tuple[str, ...]:
        """The last lines that it printed."""
        return tuple(self._lines.last)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal; when it ends, its workers are killed by their parent-death signal."""
        if not self.exited.done():
            os.kill(self._process.pid, number)  # send_signal() would reap it, behind the back of `_reap`

    async def wait(self, timeout: float) -> None:
        """Wait for its end; kill it after ``timeout`` seconds, or when this is cancelled."""
        try:
            await asyncio.wait([self.exited], timeout=timeout)
        finally:
            self.kill()
        await asyncio.shield(self.exited)

    def _read(self) -> int:
        """Read its output; return the number of bytes."""
        try:
            data = os.read(self._pipe.fileno(), 65536)
        except BlockingIOError:
            return 0
        if data:
            self._publish(self._lines.feed(data))
        else:
            self._loop.remove_reader(self._pipe)
        return len(data)

    def _publish(self, lines: list[str]) -> None:
        for line in lines:
            self._on_line(line)

    def _reap(self) -> None:
        self._loop.remove_reader(self._end)
        os.close(self._end)
        size = 0
        while size < _LARGEST_PIPE and (count := self._read()):
            size += count
        self._publish(self._lines.finish())
        self._loop.remove_reader(self._pipe)
        self._pipe.close()
        if _ended_well(self._process.pid):
            self._set_exited()
        else:
            self._clear(self._loop.time() + PATIENCE)

    def _clear(self, until: float) -> None:
        """Kill what it has left in its session; call itself again while a process can't be identified yet."""
        patient = self._loop.time() < until
        unclear = [group for group in groups_of(self._process.pid) if kill_remains(group, patient=patient)]
        if unclear:
            self._loop.call_later(PAUSE, self._clear, until)
        else:
            self._set_exited()

    def _set_exited(self) -> None:
        """Read the exit code, as the last step: until then no other process can get the number of its session."""
        self.exited.set_result(self._process.wait())


def _pidfd_or_kill(process: subprocess.Popen[bytes]) -> int:
    """Return a descriptor that becomes readable when the process ends; kill the process if there can't be one."""
    try:
        return os.pidfd_open(process.pid)
    except OSError:
        process.kill()
        process.communicate()
        raise


def _ended_well(pid: int) -> bool:
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return ended is not None and ended.si_code == os.CLD_EXITED and ended.si_status == 0
