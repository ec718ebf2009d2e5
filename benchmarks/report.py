"""Show results as a table, and write them as JSON."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from benchmarks.results import Measured, Results

_VERDICTS = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}


def as_table(results: Results) -> Table:
    """Return the table: first the ratios, then the figures."""
    table = Table(title="aioparcs, measured", title_justify="left")
    table.add_column("what / over what", no_wrap=True)
    for name in ("median", "95 %", "quartiles", "rounds", "target"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for measured in results.ratios:
        table.add_row(*_row(measured))
    if results.ratios:
        table.add_section()
    for measured in results.figures:
        table.add_row(*_row(measured))
    return table


def _row(measured: Measured) -> tuple[str, ...]:
    return (
        measured.what,
        f"{short(measured.median)} {measured.unit}".strip(),
        _range(measured.interval),
        _range(measured.quartiles),
        str(len(measured.values)),
        "" if measured.target is None else str(measured.target),
        _VERDICTS[measured.met],
    )


def _range(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else " - ".join(map(short, ends))


def short(value: float) -> str:
    """Write a value with three digits that count, or all before the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 10 else f"{value:.2f}"


def as_json(results: Results, machine: dict[str, Any]) -> dict[str, Any]:
    """Return one JSON object: medians, quartiles and rounds by key, the targets, what is missing, and the machine."""
    everything = results.figures + results.ratios
    return {
        "figures": {measured.key: _rounded(measured.median) for measured in results.figures},
        "ratios": {measured.key: _rounded(measured.median) for measured in results.ratios},
        "spread": {measured.key: _spread(measured) for measured in everything},
        "targets": {
            measured.key: {"at_least" if measured.target.at_least else "at_most": measured.target.bound}
            for measured in everything
            if measured.target is not None
        },
        "left_out": results.left_out,
        "machine": machine,
    }


def _spread(measured: Measured) -> dict[str, Any]:
    low, high = measured.quartiles
    interval = measured.interval and [_rounded(end) for end in measured.interval]
    return {"low": _rounded(low), "high": _rounded(high), "rounds": len(measured.values), "interval": interval}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
