"""A dialogue with a program on a terminal of its own, in whose foreground it runs as if a shell had started it."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.command import ENVIRONMENT, TIMEOUT, visible

__all__ = ["Dialogue", "dialogue"]


class Dialogue:
    """
    What is written on a terminal, and what is typed there.

    Attributes:
        process: the program.
        terminal: a descriptor of the terminal's other side.
        text: all that was written so far, without escape sequences.
        written: the same with them.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", terminal: int) -> None:
        self.process = process
        self.terminal = terminal
        self._written = b""
        self._read = 0

    @property
    def written(self) -> str:
        return self._written.decode(errors="replace")

    @property
    def text(self) -> str:
        return visible(self.written.replace("\r\n", "\n"))

    def expect(self, pattern: str) -> str:
        """Wait until a pattern is written, behind what was expected before; return what is written up to its end."""
        deadline = time.monotonic() + TIMEOUT
        while (found := re.compile(pattern).search(self.text, self._read)) is None:
            ready, _, _ = select.select([self.terminal], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{pattern!r} is not in {self.text[self._read :]!r}"
            try:
                data = os.read(self.terminal, 65536)
            except OSError:
                data = b""  # EIO: the program has ended
            assert data, f"{pattern!r} is not in {self.text[self._read :]!r}, and the program has ended"
            self._written += data
        text = self.text[self._read : found.end()]
        self._read = found.end()
        return text

    def type(self, text: str) -> None:
        """Type some text."""
        os.write(self.terminal, text.encode())

    def wait(self) -> int:
        """Wait for the end of the program, and read the rest; return its exit code."""
        deadline = time.monotonic() + TIMEOUT
        while select.select([self.terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
            try:
                self._written += os.read(self.terminal, 65536)
            except OSError:  # EIO: no process has the other end open
                break
        return self.process.wait(TIMEOUT)


@contextmanager
def dialogue(*command: str | Path, cwd: Path, **env: str) -> Iterator[Dialogue]:
    """Run Python with some arguments on a terminal; what still runs is killed on leaving."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    try:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=cwd,
            env=ENVIRONMENT | {"TERM": "xterm-256color"} | env,
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
    finally:
        os.close(theirs)
    with process:
        try:
            yield Dialogue(process, ours)
        finally:
            process.kill()
            os.close(ours)
