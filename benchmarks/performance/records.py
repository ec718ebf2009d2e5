"""The records of ``benchmarks/results/DATE.json``, and the file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmarks.results import Measured

SCHEMA = 1
FOLDER = Path(__file__).parent.parent / "results"


class SchemaError(Exception):
    """A file has another schema than this program."""


@dataclass(frozen=True)
class Summary:
    """
    Many values of one thing, summed up.

    Attributes:
        median: of them.
        low: their first quartile.
        high: their third one.
        interval: where the median of many more would be with a probability of 95 %; None of fewer than six.
        rounds: how many values there were.
    """

    median: float
    low: float
    high: float
    interval: tuple[float, float] | None
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Sum values up, with four digits of each."""
        measured = Measured("", "", values)
        low, high = map(_rounded, measured.quartiles)
        interval = measured.interval and (_rounded(measured.interval[0]), _rounded(measured.interval[1]))
        return cls(_rounded(measured.median), low, high, interval, len(values))

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """Read one from JSON."""
        return cls(**{**data, "interval": data["interval"] and tuple(data["interval"])})


@dataclass(frozen=True)
class Point:
    """
    The seconds of one series at one place of a plot; or why they were not measured, nor anything behind.

    Attributes:
        plot: the plot's name.
        series: the name of the series.
        at: how many workers, bytes or items.
        seconds: None if it was stopped.
        stopped: why.
    """

    plot: str
    series: str
    at: int
    seconds: Summary | None
    stopped: str = ""

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """Read one from JSON."""
        return cls(**{**data, "seconds": data["seconds"] and Summary.read(data["seconds"])})


@dataclass(frozen=True)
class Figure:
    """
    A figure, or a ratio of two.

    Attributes:
        key: its name.
        what: what it is, for people.
        value: all rounds, summed up.
        unit: "" for a ratio.
        more_is_better: None if neither is.
    """

    key: str
    what: str
    value: Summary
    unit: str = ""
    more_is_better: bool | None = None

    @classmethod
    def of(cls, measured: Measured) -> Self:
        """Sum up what was measured; its target says which way is better."""
        target = measured.target
        value = Summary.of(measured.values)
        return cls(measured.key, measured.what, value, measured.unit, None if target is None else target.at_least)

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """Read one from JSON."""
        return cls(**{**data, "value": Summary.read(data["value"])})


@dataclass
class Part:
    """
    One part of the whole, measured in one go.

    Attributes:
        date: the day.
        machine: see `benchmarks.machine.describe`.
        versions: of the peers, by name.
        points: of its plots.
        figures: what is not in a plot.
        left_out: what this machine could not run, and why, a line each.
    """

    date: str
    machine: dict[str, Any]
    versions: dict[str, str]
    points: list[Point] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """Read one from JSON."""
        points, figures = map(Point.read, data["points"]), map(Figure.read, data["figures"])
        return cls(**{**data, "points": list(points), "figures": list(figures)})


Parts = dict[str, Part]


def newest(folder: Path = FOLDER) -> Path | None:
    """Return the last file of a folder, None if there is none: their names are dates."""
    return max(folder.glob("*.json"), default=None)


def load(path: Path) -> Parts:
    """
    Read a file.

    Raises:
        SchemaError: it has another schema.
    """
    data = json.loads(path.read_text(encoding="utf-8"))
    if data.get("schema") != SCHEMA:
        raise SchemaError(f"{path} has schema {data.get('schema')}, not {SCHEMA}; measure again")
    return {name: Part.read(part) for name, part in data["parts"].items()}


def save(path: Path, parts: Parts) -> None:
    """Write a file, a line for each point and figure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = ",\n".join(f"{json.dumps(name)}: {_part(asdict(part))}" for name, part in parts.items())
    path.write_text(f'{{"schema": {SCHEMA}, "parts": {{\n{entries}\n}}}}\n', encoding="utf-8")


def _part(data: dict[str, Any]) -> str:
    return "{\n" + ",\n".join(f"  {json.dumps(name)}: {_value(value)}" for name, value in data.items()) + "\n}"


def _value(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return json.dumps(value, ensure_ascii=False)
    return "[\n" + ",\n".join(f"    {json.dumps(one, ensure_ascii=False)}" for one in value) + "\n  ]"


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
