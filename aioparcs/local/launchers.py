"""The launchers of one job: the choice of one for the next workers, and the end of those no longer needed."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, NamedTuple

from aioparcs.local.sources import Marks, Sources
from aioparcs.modules import Command

if TYPE_CHECKING:
    from aioparcs.local.process import Process

__all__ = ["Key", "Launcher", "Launchers"]

# Launchers without workers that are kept, each with all that its main.py has loaded, for the next ones to be forked.
_MOST_IDLE = 8


class Key(NamedTuple):
    """
    What launchers differ in.

    Attributes:
        command: the command.
        env: the variables of its environment that the user has chosen.
        python: the interpreter.
        threads: how many threads libraries use that it loads, 0 if that is not set.
    """

    command: Command
    env: tuple[tuple[str, str], ...]
    python: str
    threads: int


class Launcher:
    """
    One launcher.

    Args:
        key: what it was started with.
        process: the process.
        sources: the code that it runs.

    Attributes:
        groups: the groups of workers that it has, by the numbers of their first ones.
    """

    def __init__(self, key: Key, process: Process, sources: Sources) -> None:
        self.key = key
        self.process = process
        self.sources = sources
        self.groups: set[int] = set()


class Launchers:
    """All launchers that run, by slot."""

    def __init__(self) -> None:
        self._all: dict[int, Launcher] = {}
        self._current: dict[Key, int] = {}  # the one to ask for more workers; the one that was asked last comes last

    def add(self, slot: int, launcher: Launcher) -> None:
        """Add a new launcher, which gets requests for workers from now on."""
        self._all[slot] = launcher
        self._current[launcher.key] = slot

    def similar(self, key: Key) -> Key:
        """Return the key of a launcher that differs only in that its libraries use fewer threads, if there is one."""
        others = [other for other in self._current if other[:3] == key[:3] and min(1, key.threads) <= other.threads]
        return max((other for other in others if other.threads <= key.threads), default=key)

    def find(self, key: Key, marks: Marks | None) -> int | None:
        """Return the slot of the launcher to ask, or None if there is none that runs the code as its files are."""
        slot = self._current.pop(key, None)
        launcher = None if slot is None else self._all.get(slot)
        if slot is None or launcher is None or launcher.process.exited.done():
            return None
        if launcher.sources.have_changed(marks):
            self._end_if_idle(launcher)
            return None
        self._current[key] = slot
        return slot

    def outdated(self, key: Key) -> int:
        """Count the groups of workers that run code which has changed meanwhile."""
        current = self._current.get(key)
        return sum(len(one.groups) for slot, one in self._all.items() if one.key == key and slot != current)

    def occupy(self, slot: int, group: int) -> None:
        """Record that a launcher has workers."""
        self._all[slot].groups.add(group)

    def retire(self, slot: int) -> None:
        """Send a launcher that is being killed no more requests."""
        launcher = self._all.get(slot)
        if launcher and self._current.get(launcher.key) == slot:
            del self._current[launcher.key]

    def release(self, slot: int, group: int) -> None:
        """Record that a group's workers have ended, and end launchers that are no longer needed."""
        launcher = self._all.get(slot)
        if launcher is None:
            return
        launcher.groups.discard(group)
        if self._current.get(launcher.key) != slot:
            self._end_if_idle(launcher)
        idle = [other for other in self._current.values() if not self._all[other].groups]
        for other in idle[:-_MOST_IDLE]:
            del self._current[self._all[other].key]
            self._end_if_idle(self._all[other])

    def forget(self, slot: int) -> None:
        """Remove a launcher whose process has ended."""
        self.retire(slot)
        if launcher := self._all.pop(slot, None):
            launcher.sources.close()

    def close(self) -> None:
        """Remove all launchers; kill those that are still loading their main.py and would find no runner."""
        for slot, launcher in list(self._all.items()):
            if launcher.sources.are_loading:
                launcher.process.kill()
            self.forget(slot)

    @staticmethod
    def _end_if_idle(launcher: Launcher) -> None:
        if not launcher.groups:
            launcher.process.kill(signal.SIGTERM)
