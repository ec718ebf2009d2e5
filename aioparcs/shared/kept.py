"""Memory that another process keeps for a peer of this one, on the peer's machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from aioparcs.shared.memory import SharedPart

__all__ = ["KeptMemory", "place_of"]


class KeptMemory:
    """
    Copies of buffers of this process in another one's memory, which a peer on its machine maps.

    They are released there when nothing holds them longer: who has made this does from the beginning.

    Args:
        keeper: how that process's memory is reached, as a `Probe` has it.
        parts: the copies, by where the buffers are in this process; see `place_of`.
        release: has them released there; those who have mapped them keep them.

    Attributes:
        keeper: the same.
    """

    def __init__(
        self,
        keeper: tuple[int, int, bytes],
        parts: Mapping[tuple[int, int], SharedPart],
        release: Callable[[], object],
    ) -> None:
        self.keeper = keeper
        self._parts = parts
        self._release = release
        self._holders = 1

    def hold(self) -> None:
        """Keep the copies until `drop` is called once more."""
        self._holders += 1

    def drop(self) -> None:
        """Release the copies if nothing else holds them."""
        self._holders -= 1
        if not self._holders:
            self._release()

    def find(self, view: memoryview) -> SharedPart | None:
        """Return the copy of a buffer, None if there is none."""
        place = place_of(view)
        return self._parts.get(place) if place else None


def place_of(view: memoryview) -> tuple[int, int] | None:
    """Return where a buffer is in this process, and its size; None if that can't be known without NumPy."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        return numpy.frombuffer(view, "u1").__array_interface__["data"][0], view.nbytes
    return (id(view.obj), view.nbytes) if view.nbytes == memoryview(view.obj).nbytes else None
