"""The lock of a terminal: programs that share one take turns, however they are related."""

from __future__ import annotations

import fcntl
import os

__all__ = ["TerminalLock"]


class TerminalLock:
    """
    The lock of one terminal, which each program opens for itself; it is released when its holder ends.

    Args:
        path: the terminal's device, such as ``/dev/pts/3``.

    Attributes:
        fd: a descriptor of the terminal.

    Raises:
        OSError: it can't be opened.
    """

    def __init__(self, path: str) -> None:
        # Not one of the standard streams: those have their open file, and with it the lock, in common with the shell.
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)

    def acquire(self) -> None:
        """Wait until no other program has the lock, and take it."""
        fcntl.flock(self.fd, fcntl.LOCK_EX)

    def try_acquire(self) -> bool:
        """Return True with the lock, or False at once if another program has it."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Release the lock."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the terminal, and release the lock."""
        os.close(self.fd)
