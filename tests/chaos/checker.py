"""The checker of what the program has written, and of the marks of its calls."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.chaos.faults import Fault

__all__ = ["Item", "check", "items_of"]

_LASTING = 30.0  # seconds after its end in which a fault may show
_GROWTH = 1.1  # of the program's memory

_NETWORK = frozenset({"cut node", "bad network", "stop runner"})
_CONTAINERS = frozenset({"drain node", "kill dockerd", "restart manager", "stop dockerd", "full disk"})
_LAUNCHERS = frozenset({"kill agent", "stop agent", "kill fork server", "stop fork server"})
# What a worker is lost by, as its error has it, and which faults may be behind that.
_CAUSES = {
    r"was killed by SIGKILL$": _NETWORK | _CONTAINERS | {"kill worker", "terminate worker", "stop worker"},
    r"ended with exit code 143": _CONTAINERS | {"terminate worker"},
    r"ended with exit code \d+$": _NETWORK | _CONTAINERS,
    r"is lost: its host was silent": _NETWORK | {"stop agent"},
    r"is lost: its launcher": _NETWORK | _CONTAINERS | _LAUNCHERS,
    r"is lost with its launcher": _NETWORK | _CONTAINERS | _LAUNCHERS,
}
_ENDS = frozenset({"StartError", "WorkerLost", "ConnectionLost", "EndOfChannel", "ClusterError"})


class Item(NamedTuple):
    """
    An item of a pool.

    Attributes:
        invoked: when the pool got it.
        retries: how often it may be repeated.
        outcomes: when each came, of which kind it is, and its value.
    """

    invoked: float
    retries: int
    outcomes: list[tuple[float, str, Any]]


def items_of(events: Iterable[Sequence[Any]]) -> dict[int, Item]:
    """Return the items of a history, by number."""
    items: dict[int, Item] = {}
    for when, kind, what, value in events:
        if kind == "invoke":
            items[what] = Item(when, value, [])
        elif kind in ("ok", "fail"):
            items[what].outcomes.append((when, kind, value))
    return items


def check(events: list[list[Any]], faults: list[Fault], marks: Path) -> Iterator[str]:
    """Yield what is wrong with what a program has written, and with the marks that its calls have left."""
    begun = {int(path.name): path.stat().st_size for path in marks.iterdir()}
    items = items_of(events)
    if not items:
        yield "no item was called"
    for number, item in items.items():
        yield from _check_item(number, item, begun.get(number, 0), faults)
    yield from (f"item {number} has begun and was never called" for number in begun.keys() - items.keys())
    yield from (what for _, kind, what, _ in events if kind == "wrong")
    for when, kind, since, value in events:
        if kind == "end" and value[1].rpartition(".")[2] not in _ENDS:
            yield f"a {value[0]} ends with {value[1:]}"
        elif kind == "end" and not _during(faults, since, when):
            yield f"a {value[0]} ends without a fault: {value[1:]}"
    yield from _check_end(events)


def _check_item(number: int, item: Item, begun: int, faults: list[Fault]) -> Iterator[str]:
    if len(item.outcomes) != 1:
        yield f"item {number} has {len(item.outcomes)} outcomes: {item.outcomes}"
    if begun > 1 + item.retries:
        yield f"item {number} has begun {begun} times, with retries={item.retries}"
    for when, kind, value in item.outcomes:
        if kind == "fail":
            yield from _check_error(number, value, _during(faults, item.invoked, when))
        elif value != [number, number * number]:
            yield f"item {number} has the result {value}"
        elif not begun:
            yield f"item {number} has a result and has not begun"


def _check_error(number: int, error: list[str], faults: list[Fault]) -> Iterator[str]:
    """Check that an error names what has happened."""
    kind, text, worker, reason = error
    if kind == "StartError":
        causes: frozenset[str] | None = frozenset(fault.kind for fault in faults)
    elif kind == "WorkerLost":
        causes = next((kinds for pattern, kinds in _CAUSES.items() if re.match(pattern, reason)), None)
    else:
        causes = None
    node = worker.partition(" on ")[2]
    if causes is None:
        yield f"item {number} fails with {error}"
    elif not any(fault.kind in causes and (node in ("", fault.node) or not fault.node) for fault in faults):
        happened = sorted({f"{fault.kind} {fault.node}".strip() for fault in faults})
        yield f"item {number} fails with {kind}: {text}; but there was only: {', '.join(happened) or 'no fault'}"


def _check_end(events: list[list[Any]]) -> Iterator[str]:
    if not events or events[-1][1] != "complete":
        yield "the program did not come to its end"
    memory = {what: value for _, kind, what, value in events if kind == "memory"}
    if len(memory) == 2:
        names = ("bytes", "descriptors")
        for name, before, after in zip(names, memory["before"], memory["after"], strict=True):
            if after > _GROWTH * before:
                yield f"the runner has {after:,} {name} at its end, and had {before:,}"
    counts = Counter(kind for _, kind, _, _ in events)
    if not counts["ring"]:
        yield "no messages have gone round a ring"


def _during(faults: list[Fault], since: float, until: float) -> list[Fault]:
    """Return the faults that may be behind what has happened in a time."""
    return [fault for fault in faults if fault.begun <= until and fault.ended + _LASTING >= since]
