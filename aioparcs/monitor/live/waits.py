"""Since when modules and pools of a job wait for what they wait for."""

from __future__ import annotations

import re

from aioparcs.events import Event, PoolProgress, PoolState, Snapshot, WorkersRequested, WorkersWaiting

__all__ = ["Waits"]

_NUMBER = re.compile(r"[\d.,]+")


class Waits:
    """The times at which waits have begun, and at which pools have last got on, by the program's clock."""

    def __init__(self) -> None:
        self._begun: dict[str | int, tuple[str, float]] = {}  # module or pool: the text without numbers, since when
        self._done: dict[int, tuple[int, float]] = {}  # pool: the items that are done, since when

    def apply(self, event: Event) -> None:
        """Record an event."""
        match event:
            case WorkersRequested():
                self._begun[event.module] = "", event.time
            case WorkersWaiting():
                self._note(event.module, event.text, event.time)
            case PoolProgress():
                self._note_pool(event.state, event.time)
            case Snapshot():
                for module in event.modules:
                    self._note(module.module, module.waits, event.time)
                for pool in event.pools:
                    self._note_pool(pool.state, event.time)

    def since(self, subject: str | int) -> float | None:
        """Return since when a module, or a pool by its number, waits for the same; None if that isn't known."""
        return self._begun[subject][1] if subject in self._begun else None

    def done_since(self, pool: int) -> float | None:
        """Return when the last item of a pool was done; None if that isn't known."""
        return self._done[pool][1] if pool in self._done else None

    def _note_pool(self, state: PoolState, time: float) -> None:
        if state.is_over:
            self._begun.pop(state.id, None)
            self._done.pop(state.id, None)
            return
        self._note(state.id, state.waits, time)
        if self._done.get(state.id, (-1,))[0] != state.done:
            self._done[state.id] = state.done, time

    def _note(self, subject: str | int, text: str, time: float) -> None:
        plain = _NUMBER.sub("", text)
        if subject not in self._begun or self._begun[subject][0] != plain:
            self._begun[subject] = plain, time
