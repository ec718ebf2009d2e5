"""The reports of what workers wait for that take long to start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from aioparcs.runner.state.records import LauncherRecord
from aioparcs.runner.state.stimuli import ShowWaits
from aioparcs.runner.state.unstarted import why_late

__all__ = ["StartWaits"]

# Seconds after a request for workers until the first report, and between two reports.
_PATIENCE, _PERIOD = 3.0, 1.0


class StartWaits:
    """
    Reports, for each module, what most of its workers wait for that are starting.

    Attributes:
        due: when the next poll is due, if there are such workers.
    """

    def __init__(self) -> None:
        self.due = 0.0
        self._shown: dict[str, tuple[int, str]] = {}

    def begin(self, now: float) -> None:
        """Record that workers are starting, and that there were none."""
        self.due = now + _PATIENCE
        self._shown.clear()

    def poll(self, starting: Iterable[tuple[str, LauncherRecord]], now: float) -> Iterator[ShowWaits]:
        """
        Yield the reports that are new, if a poll is due.

        Args:
            starting: the module and the launcher of each worker that is starting.
            now: the time.
        """
        if now < self.due:
            return
        reasons: dict[str, Counter[str]] = {}
        for (module, launcher), count in Counter(starting).items():  # the workers of one launcher have one reason
            reasons.setdefault(module, Counter())[why_late(launcher)] += count
        for module, counts in reasons.items():
            reason, count = counts.most_common(1)[0]
            if self._shown.get(module) != (count, reason):
                self._shown[module] = count, reason
                yield ShowWaits(module, count, reason)
        self.due = now + _PERIOD
