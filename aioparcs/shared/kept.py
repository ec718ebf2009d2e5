"""Memory that another process keeps for a peer of this one, on the peer's machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

from aioparcs.shared.memory import SharedPart

__all__ = ["KeptMemory", "place_of"]


class KeptMemory(NamedTuple):
    """
    Copies of buffers of this process in another one's memory, which a peer on its machine maps.

    Attributes:
        keeper: how that process's memory is reached, as a `Probe` has it.
        parts: the copies, by where the buffers are in this process; see `place_of`.
        release: has them released there; those who have mapped them keep them.
    """

    keeper: tuple[int, int, bytes]
    parts: Mapping[tuple[int, int], SharedPart]
    release: Callable[[], object]

    def find(self, view: memoryview) -> SharedPart | None:
        """Return the copy of a buffer, None if there is none."""
        place = place_of(view)
        return self.parts.get(place) if place else None


def place_of(view: memoryview) -> tuple[int, int] | None:
    """Return where a buffer is in this process, and its size; None if that can't be known without NumPy."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        return numpy.frombuffer(view, "u1").__array_interface__["data"][0], view.nbytes
    return (id(view.obj), view.nbytes) if view.nbytes == memoryview(view.obj).nbytes else None
