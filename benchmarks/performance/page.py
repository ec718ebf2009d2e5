"""
The page docs/performance.md, from `page.md` beside this file and the results.

In braces that has the figures: ``{items/ours/1000000 each}`` is the time of that point for each of its places, and
``{round_trip_vs_protocol}`` a ratio or figure by its key. ``{table}`` and ``{notes}`` stand for more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import ROOT
from benchmarks.performance import titles
from benchmarks.performance.records import Figure, Parts, Point
from benchmarks.report import short

PAGE = ROOT / "docs" / "performance.md"
TEMPLATE = Path(__file__).with_name("page.md")
PICTURES = ROOT / "docs" / "pictures" / "performance"

_FIGURE = re.compile(r"\{([^{}]+)\}")
# The columns of the table: what they are called, the plot, the place, and whether the time is for each.
_COLUMNS = (
    ("start of 64 workers", "start", 64, False),
    ("500 calls of 10 ms over 64", "naps", 64, False),
    ("a call, of 10,000 over 8", "items", 10_000, True),
    ("64 B there and back", "round_trip", 64, False),
    ("64 MiB there and back", "round_trip", 64 << 20, False),
)


class UnknownFigureError(Exception):
    """The page names a figure that the results don't have."""


def render(parts: Parts) -> str:
    """
    Return the page.

    Raises:
        UnknownFigureError: it names a figure that these results don't have.
    """
    return _FIGURE.sub(lambda found: _value(found[1], parts), TEMPLATE.read_text(encoding="utf-8"))


def _value(name: str, parts: Parts) -> str:
    if name in ("table", "notes"):
        return "\n".join(_table(parts) if name == "table" else _notes(parts))
    if "/" in name:
        return titles.time(_seconds(name, parts))
    figure = next((one for part in parts.values() for one in part.figures if one.key == name), None)
    if figure is None:
        raise UnknownFigureError(name)
    return _text(figure)


def _text(figure: Figure) -> str:
    return f"{short(figure.value.median)} {figure.unit}".strip()


def _seconds(term: str, parts: Parts) -> float:
    key, _, each = term.partition(" ")
    plot, series, at = key.split("/")
    point = _find(parts, plot, series, int(at))
    if point is None or point.seconds is None:
        raise UnknownFigureError(term)
    return point.seconds.median / (point.at if each == "each" else 1)


def _find(parts: Parts, plot: str, series: str, at: int) -> Point | None:
    wanted = plot, series, at
    points = (point for part in parts.values() for point in part.points)
    return next((point for point in points if (point.plot, point.series, point.at) == wanted), None)


def _table(parts: Parts) -> Iterator[str]:
    yield "| | " + " | ".join(name for name, *_ in _COLUMNS) + " |"
    yield "|---" * (len(_COLUMNS) + 1) + "|"
    for name, title in titles.SERIES.items():
        cells = [_cell(parts, name, *column[1:]) for column in _COLUMNS]
        if any(cells) and name != "ours_journal":
            yield f"| {title} | " + " | ".join(cells) + " |"


def _cell(parts: Parts, series: str, plot: str, at: int, each: bool) -> str:
    point = _find(parts, plot, series, at)
    if point is None:
        return ""
    return titles.time(point.seconds.median / (at if each else 1)) if point.seconds else "-"


def _notes(parts: Parts) -> Iterator[str]:
    """Yield what was measured on, and what was not measured."""
    loads: dict[str, list[str]] = {}
    for name, part in parts.items():
        machine = part.machine
        where = f"{machine['cores']} cores ({machine['processor']}), {machine['system']}, {machine['python']}"
        loads.setdefault(f"{part.date}, {where}", []).append(f"*{name}* {machine['load_before']}")
    for where, names in loads.items():
        yield f"- Measured {where}. Load before each part: {', '.join(names)}."
    versions = {name: number for part in parts.values() for name, number in part.versions.items()}
    yield "- Versions: " + ", ".join(f"{name} {number}" for name, number in sorted(versions.items())) + "."
    for part in parts.values():
        for point in part.points:
            if point.stopped:
                place = titles.size(point.at) if point.plot == "round_trip" else titles.count(point.at)
                yield f"- Stopped: {titles.SERIES[point.series]}, *{point.plot}*, at {place}: {point.stopped}."
        yield from (f"- Left out: {line}." for line in part.left_out)
