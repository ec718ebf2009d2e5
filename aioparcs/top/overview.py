"""The lines at the head of a job's page."""

from __future__ import annotations

from rich.text import Text

from aioparcs.display.view import duration, frequency
from aioparcs.monitor.records import Overview, PoolRow
from aioparcs.top.model import JobModel
from aioparcs.top.tables import items, reason_text
from aioparcs.top.texts import bar, count, fitted, percent, plain, spark

__all__ = ["overview_lines", "reason_lines"]

_NAME = 12  # columns of a name


def overview_lines(model: JobModel, width: int, pools: int) -> list[Text]:
    """
    Return the workers, the last pools and the calls of a job.

    Args:
        model: the job.
        width: the columns of a line.
        pools: the most pools that have a line.
    """
    overview = model.overview
    if overview is None:
        return [Text(" reading the job's history", "dim")]
    shown = _shown_pools(model.pools, pools)
    lines = [_workers(overview, width), *(_pool(pool, width) for pool in shown)]
    if len(model.pools) > len(shown):
        lines.append(Text(f" {len(model.pools) - len(shown)} more pools: p", "dim"))
    lines.append(_calls(model, overview, width))
    if overview["error"]:
        lines.append(Text(f" {plain(overview['error'])}", "bold red"))
    return lines


def reason_lines(model: JobModel, width: int, most: int) -> list[Text]:
    """Return why a job waits, the most important reasons."""
    reasons = model.explain[:most]
    lines = [Text(f" ! {plain(one['subject'])}: {reason_text(one, model.now)}", "yellow") for one in reasons]
    if len(model.explain) > most:
        more = f"  ({len(model.explain) - most} more: e)"
        lines[-1] = Text.assemble(fitted(lines[-1], width - len(more)), (more, "dim"))
    return lines


def _shown_pools(pools: list[PoolRow], most: int) -> list[PoolRow]:
    """Return the pools that work, and as many of the last others as there is room for, in their order."""
    working = [pool for pool in pools if pool["ended"] is None]
    ended = [pool for pool in pools if pool["ended"] is not None]
    chosen = [*working, *reversed(ended)][:most]
    return [pool for pool in pools if pool in chosen]


def _workers(overview: Overview, width: int) -> Text:
    workers = overview["workers"]
    present = workers["requested"] - workers["done"] - workers["lost"] - workers["stopped"]
    present = present if overview["state"] == "running" else 0
    fraction = workers["up"] / present if present else None
    parts = [Text(f"{count(workers['up'])} of {count(present)} up" if present else "none now")]
    parts += [
        Text(f"{count(workers[end])} {end}", "red" if end == "lost" else "")
        for end in ("lost", "done", "stopped")
        if workers[end]
    ]
    if overview["utilisation"] is not None:
        parts.append(Text(f"busy {percent(overview['utilisation'])}"))
    return _line("workers", bar(fraction, _bar(width), "cyan"), parts)


def _pool(pool: PoolRow, width: int) -> Text:
    total = pool["done"] if pool["total"] is None and pool["ended"] is not None else pool["total"]
    parts = [Text(items(pool["done"], pool["total"]))]
    if pool["failed"]:
        parts.append(Text(f"{count(pool['failed'])} failed", "red"))
    if pool["ended"] is None:
        parts += [Text(frequency(pool["rate"]))] if pool["rate"] else []
        parts += [Text(f"{duration(pool['left'])} left")] if pool["left"] is not None else []
    else:
        parts.append(Text(f"took {duration(pool['ended'] - pool['begun'])}", "dim"))
    return _line(pool["name"], bar(pool["done"] / total if total else None, _bar(width)), parts)


def _calls(model: JobModel, overview: Overview, width: int) -> Text:
    numbers = [row[3] for row in model.series] if overview["calls"] else [row[2] for row in model.series]
    line = Text(spark(numbers, _bar(width)).ljust(_bar(width)), "cyan")
    parts = []
    if overview["calls"]:
        parts = [Text(f"{count(overview['calls'])} calls")]
        parts += [Text(f"{count(overview['failedCalls'])} failed", "red")] if overview["failedCalls"] else []
        parts += [Text(frequency(numbers[-1]))] if numbers and numbers[-1] and model.is_running else []
    elif not overview["hasCalls"]:
        parts = [Text("not recorded: --ui or PARCS_UI=1 records them", "dim")]
    elif model.series:
        parts = [Text(f"{count(model.series[-1][2])} in a call" if model.is_running else "workers in a call", "dim")]
    parts += [Text("its history is full: no more calls and lines", "yellow")] if overview["isFull"] else []
    return _line("calls", line, parts)


def _line(name: str, drawn: Text, parts: list[Text]) -> Text:
    head = fitted(Text(plain(name), "bold"), _NAME)
    return Text.assemble(" ", head, " ", drawn, "  ", Text("  ").join(parts))


def _bar(width: int) -> int:
    return max(10, min(40, (width - _NAME) // 3))
