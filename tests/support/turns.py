"""The turns that test processes take on the one cluster: most tests run side by side, some need it for themselves."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Turns"]


class Turns:
    """
    File locks in a folder that the processes of one test run share; they end with the process that holds them.

    Args:
        folder: the folder for temporary files of this process.

    Attributes:
        brought_up: the file that is there if this test run has brought the cluster up.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
        self.brought_up = self._folder / "cluster-brought-up"

    @contextmanager
    def users(self) -> Iterator[None]:
        """Hold the lock under which processes begin and end to use the cluster."""
        with self._locked("users"):
            yield

    def use(self) -> int:
        """Return a descriptor which says, while it is open, that this process uses the cluster."""
        used = self._open("used")
        fcntl.flock(used, fcntl.LOCK_SH)
        return used

    def is_last(self, used: int) -> bool:
        """Return True if no other process uses the cluster."""
        try:
            fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    @contextmanager
    def turn(self, *, alone: bool) -> Iterator[None]:
        """Wait for a turn on the cluster, beside other tests or alone, and hold it."""
        with self._locked("next"):  # one that waits to be alone is not overtaken
            turn = self._open("turn")
            fcntl.flock(turn, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        try:
            yield
        finally:
            os.close(turn)

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        lock = self._open(name)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _open(self, name: str) -> int:
        path: Path = self._folder / f"cluster-{name}.lock"
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
