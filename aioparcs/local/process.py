"""One launcher's process: its start, its output, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from aioparcs.launcher import die_with_parent

__all__ = ["Process"]


class Process:
    """
    ``python main.py``, tied to this process's life.

    Args:
        slot: the launcher's slot.
        python: the interpreter.
        folder: the module's folder; the process runs in it.
        environ: its whole environment.
        inherit: a descriptor that it inherits; this end is closed.
        keep: how many of its last lines are remembered.
        on_line: called with each line that it prints.

    Attributes:
        slot: as above.
        exited: the exit code, as ``subprocess`` gives it, once it has ended.
        last: the last lines that it printed.
    """

    def __init__(
        self,
        slot: int,
        python: str,
        folder: Path,
        environ: Mapping[str, str],
        inherit: int | None,
        keep: int,
        on_line: Callable[[str], None],
    ) -> None:
        self.slot = slot
        self.last: deque[str] = deque(maxlen=keep)
        self._on_line = on_line
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        parent = os.getpid()
        try:
            self._process = subprocess.Popen(
                [python, str(folder / "main.py")],
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=() if inherit is None else (inherit,),
                start_new_session=True,  # Ctrl-C is the runner's affair
                preexec_fn=lambda: die_with_parent(parent),  # one system call, from a library loaded before
            )
        finally:
            if inherit is not None:
                os.close(inherit)
        self._end = os.pidfd_open(self._process.pid)
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()
        self._unfinished = b""
        os.set_blocking(self._output, False)
        self._loop.add_reader(self._output, self._read)
        self._loop.add_reader(self._end, self._reap)

    def kill(self) -> None:
        """End it, and with it, by their parent-death signal, its workers."""
        if not self.exited.done():
            self._process.send_signal(signal.SIGKILL)

    async def wait(self, timeout: float) -> None:
        """Wait for its end; kill it after ``timeout`` seconds."""
        await asyncio.wait([self.exited], timeout=timeout)
        self.kill()
        await asyncio.shield(self.exited)

    def _read(self) -> bool:
        """Take what it printed; False when there is nothing more now."""
        try:
            data = os.read(self._output, 65536)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(self._output)
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        for line in lines:
            self._say(line)
        return bool(data)

    def _say(self, line: bytes) -> None:
        text = line.decode(errors="replace")
        self.last.append(text)
        self._on_line(text)

    def _reap(self) -> None:
        self._loop.remove_reader(self._end)
        os.close(self._end)
        while self._read():
            pass
        if self._unfinished:
            self._say(self._unfinished)
        self._loop.remove_reader(self._output)
        code = self._process.wait()  # it has ended: this only fetches the code
        assert self._process.stdout is not None
        self._process.stdout.close()
        self.exited.set_result(code)
