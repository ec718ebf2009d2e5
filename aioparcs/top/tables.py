"""The tables of jobs, workers, pools, functions and lines."""

from __future__ import annotations

import re
import time
from typing import Any

from rich.text import Text

from aioparcs.display.view import duration, frequency
from aioparcs.monitor.records import Calls, Current, Explanation, FunctionRow, JobRow, PoolRow
from aioparcs.top.columns import Column, Order, Table
from aioparcs.top.model import WorkerView
from aioparcs.top.texts import bar, colored, count, elapsed, percent, plain, size, state

__all__ = [
    "CALLS",
    "FAILURES",
    "FUNCTIONS",
    "JOBS",
    "LOG",
    "POOLS",
    "REASONS",
    "STACK",
    "WORKERS",
    "ReasonView",
    "current_call",
    "items",
    "named_calls",
    "reason_text",
]

_BAR = 12  # columns
_FRAME = re.compile(r' *File "(?P<file>.*)", line (?P<line>\d+),? in (?P<function>.+)')
_LEVELS = {1: "cyan", 2: "yellow"}  # of notices and warnings in a log


def items(done: int, total: int | None) -> str:
    """Return how many items are done, and of how many."""
    return f"{count(done)}/{count(total)}" if total is not None else count(done)


def current_call(row: WorkerView) -> str:
    """Return the call that a worker is in, and for how long."""
    current = row["current"]
    if current is None:
        return ""
    return f"{elapsed(max(0.0, row['now'] - current['begin']))} in {plain(_current_name(current))}"


def _current_name(current: Current) -> str:
    """Return the function and the item of a call that a worker is in."""
    return f"{current['function']} {current['call']}".strip()


# Jobs


def _job_workers(row: JobRow) -> Text:
    workers = row["workers"]
    up = f"{count(workers['up'])}/" if row["state"] == "running" else ""
    text = Text(f"{up}{count(workers['requested'])}")
    return text.append(f" -{count(workers['lost'])}", "red") if workers["lost"] else text


def _job_items(row: JobRow) -> Text:
    text = Text(items(row["items"]["done"], row["items"]["total"]) if row["items"]["total"] != 0 else "")
    return text.append(f" -{count(row['items']['failed'])}", "red") if row["items"]["failed"] else text


def _job_bar(row: JobRow) -> Text:
    total = row["items"]["total"]
    return bar(row["items"]["done"] / total, _BAR) if total else Text("")


def _job_text(row: JobRow) -> Text:
    if row["error"]:
        return Text(plain(row["error"]), "red")
    return Text(plain(row["waits"][0]), "yellow") if row["waits"] else Text("")


def _started(row: JobRow) -> str:
    date = time.localtime(row["started"])
    is_today = date[:3] == time.localtime()[:3]
    return time.strftime("%H:%M:%S" if is_today else "%b %d", date)


_STATES = {"running": 0, "failed": 1, "killed": 2, "stopped": 3, "done": 4}

JOBS = Table(
    (
        Column("JOB", 18, lambda row: plain(row["id"]), lambda row: row["id"], grows=True),
        Column("STATE", 8, lambda row: state(row["state"]), lambda row: _STATES.get(row["state"], 9)),
        Column("STARTED", 8, _started, lambda row: row["started"], rank=5, falls=True),
        Column("TIME", 8, lambda row: elapsed(row["seconds"]), lambda row: row["seconds"], right=True, falls=True),
        Column("WORKERS", 9, _job_workers, lambda row: row["workers"]["up"], right=True, falls=True),
        Column("PROGRESS", _BAR, _job_bar, rank=3),
        Column("ITEMS", 15, _job_items, lambda row: row["items"]["done"], right=True, falls=True, rank=1),
        Column("RATE", 8, lambda row: frequency(row["rate"]) if row["rate"] else "", lambda row: row["rate"] or 0.0,
               right=True, falls=True, rank=2),
        Column("LEFT", 8, lambda row: "" if row["left"] is None else duration(row["left"]),
               lambda row: -1.0 if row["left"] is None else row["left"], right=True, falls=True, rank=2),
        Column("ENGINE", 6, lambda row: plain(row["engine"]), lambda row: row["engine"], rank=6),
        Column("WAITS FOR, OR ERROR", 30, _job_text, grows=True, rank=7),
    ),
    key=lambda row: row["id"],
    words=lambda row: " ".join([row["id"], row["program"], row["state"], row["engine"], row["error"], *row["waits"]]),
    empty="no jobs on this machine yet: a program's history appears here when it starts",
)  # fmt: skip


# Workers


def _current(row: WorkerView) -> Text:
    if row["state"] == "lost":
        return Text(plain(row["reason"]), "red")
    current = row["current"]
    if current is None:
        return Text("")
    name = current["call"] if current["call"] and current["function"] == row["module"] else _current_name(current)
    return Text(f"{elapsed(max(0.0, row['now'] - current['begin']))} {plain(name)}")


_WORKER_STATES = {
    "lost": 0,
    "calling": 1,
    "waiting": 2,
    "connected": 2,
    "starting": 3,
    "stopped": 4,
    "done": 5,
    "ended": 5,
    "unknown": 5,
}

WORKERS = Table(
    (
        Column("N", 5, lambda row: str(row["number"]), lambda row: row["number"], right=True),
        Column("STATE", 8, lambda row: state(row["state"]), lambda row: _WORKER_STATES.get(row["state"], 9)),
        Column("MODULE", 10, lambda row: plain(row["module"]), lambda row: row["module"], rank=4),
        Column("NODE", 10, lambda row: plain(row["node"]), lambda row: row["node"], rank=3),
        Column("CALLS", 7, lambda row: count(row["calls"]) if row["has_calls"] else "-",
               lambda row: row["calls"], right=True, falls=True),
        Column("FAILED", 7, lambda row: Text(count(row["failed"]), "red") if row["failed"] else "",
               lambda row: row["failed"], right=True, falls=True, rank=2),
        Column("BUSY", 6, lambda row: percent(row["share"]) if row["has_calls"] else "-",
               lambda row: row["share"] or 0.0, right=True, falls=True),
        Column("CPU", 6, lambda row: percent(row["usage"]["cpu"]) if row["usage"] else "",
               lambda row: row["usage"]["cpu"] if row["usage"] else -1.0, right=True, falls=True, rank=5),
        Column("MEMORY", 7, lambda row: size(row["usage"]["memory"]) if row["usage"] else "",
               lambda row: row["usage"]["memory"] if row["usage"] else -1, right=True, falls=True, rank=5),
        Column("NOW", 20, _current, grows=True),
    ),
    key=lambda row: row["number"],
    words=lambda row: f"{row['number']} {row['state']} {row['module']} {row['node']} {row['reason']} {_current(row)}",
    empty="no workers yet",
    order=Order(0),
)  # fmt: skip


# Pools, functions, reasons


def _pool_bar(row: PoolRow) -> Text:
    total = row["done"] if row["total"] is None and row["ended"] is not None else row["total"]
    return bar(row["done"] / total if total else None, 20)


def _pool_time(row: PoolRow) -> str:
    if row["ended"] is not None:
        return f"took {elapsed(row['ended'] - row['begun'])}"
    return "" if row["left"] is None else f"{duration(row['left'])} left"


POOLS = Table(
    (
        Column("POOL", 12, lambda row: plain(row["name"]), lambda row: row["name"], grows=True),
        Column("PROGRESS", 20, _pool_bar, lambda row: row["done"] / row["total"] if row["total"] else 0.0, falls=True),
        Column("ITEMS", 13, lambda row: items(row["done"], row["total"]), lambda row: row["done"],
               right=True, falls=True),
        Column("FAILED", 7, lambda row: Text(count(row["failed"]), "red") if row["failed"] else "",
               lambda row: row["failed"], right=True, falls=True),
        Column("RUNNING", 7, lambda row: count(row["running"]), lambda row: row["running"], right=True, falls=True,
               rank=2),
        Column("WORKERS", 9, lambda row: f"{row['workers']}/{row['wanted']}", lambda row: row["workers"], right=True,
               falls=True),
        Column("RATE", 9, lambda row: frequency(row["rate"]) if row["rate"] and row["ended"] is None else "",
               lambda row: row["rate"], right=True, falls=True, rank=1),
        Column("TIME", 14, _pool_time, lambda row: row["begun"], right=True, rank=1),
        Column("WAITS FOR", 30, lambda row: Text(plain(row["waits"]), "yellow"), grows=True, rank=3),
    ),
    key=lambda row: row["id"],
    words=lambda row: f"{row['name']} {row['waits']}",
    empty="no pools",
)  # fmt: skip


def _mean(row: FunctionRow) -> float:
    return row["busy"] / row["calls"] if row["calls"] else 0.0


def _short(seconds: float) -> str:
    return elapsed(seconds) if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


FUNCTIONS = Table(
    (
        Column("FUNCTION", 16, lambda row: plain(row["name"]), lambda row: row["name"], grows=True),
        Column("CALLS", 9, lambda row: count(row["calls"]), lambda row: row["calls"], right=True, falls=True),
        Column("FAILED", 7, lambda row: Text(count(row["failed"]), "red") if row["failed"] else "",
               lambda row: row["failed"], right=True, falls=True),
        Column("CANCELLED", 9, lambda row: count(row["cancelled"]) if row["cancelled"] else "",
               lambda row: row["cancelled"], right=True, falls=True, rank=1),
        Column("MEAN", 9, lambda row: _short(_mean(row)), _mean, right=True, falls=True),
        Column("LONGEST", 9, lambda row: _short(row["longest"]) if row["longest"] else "", lambda row: row["longest"],
               right=True, falls=True),
        Column("IN ALL", 9, lambda row: _short(row["busy"]), lambda row: row["busy"], right=True, falls=True),
    ),
    key=lambda row: row["name"],
    words=lambda row: str(row["name"]),
    empty="no calls: a job keeps its calls with `aioparcs run --ui`, PARCS_UI=1 or --record",
    order=Order(5, True),
)  # fmt: skip


FAILURES = Table(
    (
        Column("FAILED", 8, lambda row: elapsed(row[0]), lambda row: row[0], right=True, falls=True),
        Column("N", 5, lambda row: str(row[4]), lambda row: row[4], right=True),
        Column("FUNCTION", 12, lambda row: plain(row[1]), lambda row: row[1]),
        Column("CALL", 16, lambda row: plain(row[2]), lambda row: row[2], rank=1),
        Column("ERROR", 30, lambda row: Text(plain(row[3]), "red"), lambda row: row[3], grows=True),
    ),
    key=lambda row: (row[0], row[2], row[4]),
    words=lambda row: f"{row[4]} {row[1]} {row[2]} {row[3]}",
    empty="no failed calls that are listed one by one",
    follows=True,
)


class ReasonView(Explanation):
    """A reason at a time."""

    now: float


def reason_text(reason: Explanation, now: float) -> str:
    """Return why something waits, and for how long."""
    since = reason["since"]
    return plain(reason["text"]) + ("" if since is None else f" ({elapsed(max(0.0, now - since))})")


REASONS = Table(
    (
        Column("SUBJECT", 18, lambda row: Text(plain(row["subject"]), "bold")),
        Column("WHY IT WAITS", 30, lambda row: reason_text(row, row["now"]), grows=True),
    ),
    key=lambda row: (row["subject"], row["text"]),
    words=lambda row: f"{row['subject']} {row['text']}",
    empty="nothing that is known is in its way",
)


# Lines and calls


def _origin(row: list[Any]) -> Text:
    name = row[2] if row[3] is None else f"{row[2]}:{row[3]}"
    return Text(plain(name), _LEVELS.get(row[5], "dim"))


def _line(row: list[Any]) -> Text:
    return Text(plain(row[4]), _LEVELS[row[5]]) if row[5] in _LEVELS else colored(row[4])


LOG = Table(
    (
        Column("TIME", 8, lambda row: elapsed(row[1]), right=True),
        Column("FROM", 14, _origin),
        Column("LINE", 20, _line, grows=True),
    ),
    key=lambda row: (row[0], row[1]),
    words=lambda row: f"{row[2]}:{row[3]} {row[4]}",
    empty="no lines yet",
    follows=True,
)


def _frame(row: tuple[int, str]) -> Text:
    """Return a line of a traceback; a frame has its function first, since the folder of its file may be long."""
    found = _FRAME.fullmatch(row[1])
    if found is None:
        return Text(plain(row[1]))
    file = plain(found["file"])
    name = f"{file.rpartition('/')[2]}:{found['line']}"
    return Text.assemble("  ", (plain(found["function"]), "bold"), "  ", (name, "cyan"), "  ", (file, "dim"))


STACK = Table(
    (Column("WHERE IT IS", 40, _frame, grows=True),),
    key=lambda row: row[0],
    words=lambda row: str(row[1]),
    empty="t reads where it is",
)


def _ended(row: list[Any]) -> Text:
    """Return which call it was, and that it was cancelled; or why it has failed."""
    if row[6] and row[8]:
        return Text(plain(row[8]), "red")
    return Text(plain(", ".join(filter(None, (row[7], row[8])))))


# Rows are those of spans; the function's name is in place of its number.
CALLS = Table(
    (
        Column("BEGAN", 8, lambda row: elapsed(row[2]), lambda row: row[2], right=True),
        Column("TOOK", 8, lambda row: _short(row[4]), lambda row: row[4], right=True, falls=True),
        Column("CALLS", 6, lambda row: count(row[5]), lambda row: row[5], right=True, falls=True),
        Column("FUNCTION", 14, lambda row: plain(row[1]), lambda row: row[1]),
        Column("CALL, OR ERROR", 20, _ended, grows=True),
    ),
    key=lambda row: (row[2], row[3], row[1]),
    words=lambda row: f"{row[1]} {row[7]} {row[8]}",
    empty="no calls: a job keeps its calls with `aioparcs run --ui`, PARCS_UI=1 or --record",
    follows=True,
)


def named_calls(spans: Calls, functions: list[FunctionRow]) -> Calls:
    """Return spans with the names of their functions in place of the numbers."""
    return [[row[0], functions[row[1]]["name"], *row[2:]] for row in spans if row[1] < len(functions)]
