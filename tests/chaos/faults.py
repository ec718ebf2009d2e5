"""The faults of a run: their records, and a schedule that causes them one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple

import psutil

from tests.cluster import ClusterError

__all__ = ["Fault", "Schedule"]


class Fault(NamedTuple):
    """
    A fault that has happened.

    Attributes:
        kind: what it was.
        node: the node that it happened to, "" for the runner.
        what: the process, or how long it took.
        begun, ended: when it began, and was undone, in seconds since 1970.
    """

    kind: str
    node: str
    what: str
    begun: float
    ended: float


class Schedule:
    """
    Causes faults in an order that its seed chooses: each kind once, then each once again, and so on.

    Args:
        random: chooses.
        kinds: what causes each kind of fault, and undoes it; returns the node and a text, or None if there was nothing
            that it could happen to.
        note: called with each fault.
    """

    def __init__(
        self, random: Random, kinds: Mapping[str, Callable[[], tuple[str, str] | None]], note: Callable[[Fault], object]
    ) -> None:
        self._random = random
        self._kinds = kinds
        self._note = note
        self._next: list[str] = []

    def run(self, pause: float, is_over: Callable[[], bool]) -> None:
        """
        Cause faults until the end.

        Args:
            pause: the most seconds between two of them.
            is_over: returns whether it is the end.

        Raises:
            ClusterError: the cluster is out of order.
        """
        while not is_over():
            time.sleep(self._random.random() * pause)
            self._happen()

    def _happen(self) -> None:
        if not self._next:
            self._next = self._random.sample(sorted(self._kinds), len(self._kinds))
        kind, begun = self._next.pop(), time.time()
        try:
            happened = self._kinds[kind]()
        except (psutil.Error, OSError):  # its process has ended meanwhile
            return
        except ClusterError as error:
            error.add_note(f"while this happened: {kind}")
            raise
        if happened is not None:
            self._note(Fault(kind, *happened, begun, time.time()))
