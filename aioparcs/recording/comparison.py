"""
The comparison of two recordings: what took longer or shorter, and whether that is more than chance.

No file is read here and no clock: records go in, records come out.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

from aioparcs.recording.summary import FunctionSummary, Summary

__all__ = ["Change", "compare"]

_FACTOR = 2.0  # how many standard deviations a difference has to be


class Change(NamedTuple):
    """
    A number of two programs.

    Attributes:
        subject: "program", or the name of a function.
        what: the number: "duration", "mean" and so on.
        unit: "s", "/s", "%", or "" for a count.
        before: its value in the first one, None if it has none.
        after: its value in the second one.
        is_clear: True if the two differ by more than the spread in each of them, None if the spread is not known.
    """

    subject: str
    what: str
    unit: str
    before: float | None
    after: float | None
    is_clear: bool | None = None

    @property
    def ratio(self) -> float | None:
        """The second as a multiple of the first, None if that makes no sense."""
        return self.after / self.before if self.before and self.after is not None else None


def compare(before: Summary, after: Summary) -> list[Change]:
    """Return the numbers of two programs side by side: the whole ones first, and then those of functions."""
    changes = [
        Change("program", "duration", "s", before.duration, after.duration),
        Change("program", "workers", "", before.workers, after.workers),
        Change("program", "lost workers", "", before.lost, after.lost),
        Change("program", "calls", "", before.calls, after.calls),
        Change("program", "failed", "", before.failed, after.failed),
        Change("program", "rate", "/s", before.rate, after.rate),
        Change("program", "utilisation", "%", before.utilisation, after.utilisation),
    ]
    first, second = ({one.name: one for one in summary.functions} for summary in (before, after))
    for name in dict.fromkeys((*first, *second)):
        changes += _of_function(name, first.get(name), second.get(name), before, after)
    return changes


def _of_function(
    name: str, first: FunctionSummary | None, second: FunctionSummary | None, before: Summary, after: Summary
) -> list[Change]:
    clear = None
    if first and second and first.spread is not None and second.spread is not None:
        spread = sqrt(first.spread**2 + second.spread**2)
        clear = abs(first.mean - second.mean) > _FACTOR * spread
    counts = [
        Change(name, "failed", "", first and first.failed, second and second.failed),
        Change(name, "cancelled", "", first and first.cancelled, second and second.cancelled),
    ]
    return [
        Change(name, "calls", "", first and first.calls, second and second.calls),
        *(count for count in counts if count.before or count.after),
        Change(name, "mean", "s", first and first.mean, second and second.mean, clear),
        Change(name, "share", "%", _share(first, before), _share(second, after)),
    ]


def _share(function: FunctionSummary | None, summary: Summary) -> float | None:
    total = sum(one.busy for one in summary.functions)
    return function.busy / total if function and total else None
