"""The checker of what the program has written, and of the marks of its calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["check"]

_ERRORS = frozenset({"WorkerLost", "StartError"})


def check(events: list[list[Any]], marks: Path) -> Iterator[str]:
    """Yield what is wrong with what a program has written, and with the marks that its calls have left."""
    begun = {int(path.name): path.stat().st_size for path in marks.iterdir()}
    outcomes: Counter[int] = Counter()
    retries: dict[int, int] = {}
    for _, kind, what, value in events:
        if kind == "invoke":
            retries.update(dict.fromkeys(range(*what), value))
        elif kind == "wrong":
            yield what
        elif kind in ("ok", "fail"):
            outcomes[what] += 1
            if what not in retries:
                yield f"item {what} was never called"
            if kind == "ok" and value != [what, what * what]:
                yield f"item {what} has the result {value}"
            if kind == "ok" and not begun.get(what):
                yield f"item {what} has a result and was never begun"
            if kind == "fail" and value[0] not in _ERRORS:
                yield f"item {what} fails with {value}"
    if not events or events[-1][1] != "end":
        yield "the program did not come to its end"
    for item, count in outcomes.items():
        if count > 1:
            yield f"item {item} has {count} outcomes"
    for item, count in begun.items():
        if count > 1 + retries.get(item, 0):
            yield f"item {item} was begun {count} times, with retries={retries.get(item)}"
    if not outcomes:
        yield "no item has an outcome"
