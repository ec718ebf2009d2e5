"""``python -m benchmarks.performance measure [PART ...]``, ``draw`` and ``quick``: see docs/benchmarks.md."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.harness import ROOT, ProgramFailed
from benchmarks.performance import parts, ratios, records, versions
from benchmarks.performance.records import Figure, Part, Parts
from benchmarks.performance.sweep import sweep

_SWEEPS = ("workers", "sizes", "items")
_ALL = ("ratios", *_SWEEPS)
_WIDTH = 116  # columns of the table where there is no terminal to ask
_ROUNDS = 2 * ratios.ROUNDS  # of the ratios that are committed


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure what docs/performance.md shows, and draw it."""


@main.command()
@click.argument("names", nargs=-1, type=click.Choice(_ALL), metavar="[PART]...")
def measure(names: tuple[str, ...]) -> None:
    """
    Measure parts into benchmarks/results/DATE.json, and keep what the last file has of the others.

    The parts are ratios, workers, sizes and items; all if none is named.
    """
    known = records.newest()
    found: Parts = records.load(known) if known else {}
    path = records.FOLDER / f"{_today()}.json"
    for name in dict.fromkeys(names or _ALL):
        start = time.monotonic()
        found[name] = _measure(name)
        records.save(path, found)
        click.echo(f"{name}: {time.monotonic() - start:.0f} s, into {path.relative_to(ROOT)}", err=True)
        for line in found[name].left_out:
            click.echo(f"Left out: {line}", err=True)


def _measure(name: str) -> Part:
    part = Part(_today(), machine.describe(), versions.found())
    if name == "ratios":
        part.figures = ratios.measure(_ROUNDS, _report)
        return part
    figures: dict[str, Figure] = {}

    def keep(more: list[Figure]) -> None:
        figures.update((figure.key, figure) for figure in more)

    plan = parts.workers() if name == "workers" else parts.sizes() if name == "sizes" else parts.items(keep)
    part.points, part.left_out = sweep(plan, parts.free_gib, _report)
    part.figures = list(figures.values())
    return part


@main.command()
def draw() -> None:
    """Draw the pictures of the newest results, and write docs/performance.md."""
    from benchmarks.performance import page, plots  # matplotlib is not where the peers are

    path = records.newest()
    if path is None:
        raise click.ClickException("there are no results yet: make bench-all")
    found = records.load(path)
    plots.draw(found, page.PICTURES)
    page.PAGE.write_text(page.render(found), encoding="utf-8")


@main.command()
def quick() -> None:
    """Measure the ratios in a minute, and name those that have moved since the last results by more than the noise."""
    path = records.newest()
    before = records.load(path).get("ratios") if path else None
    described = machine.describe()
    try:
        found = ratios.measure(ratios.ROUNDS, _report)
    except ProgramFailed as error:
        raise click.ClickException(str(error)) from None
    changes = ratios.compare(found, before.figures if before else [])
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(_table(changes, before.date if before else "before"))
    moved = [change for change in changes if change.verdict not in ("same", "new")]
    for change in moved:
        click.echo(f"{change.verdict}: {change.now.what}")
    if not moved:
        click.echo("Nothing has moved by more than the noise.")
    if before and any(before.machine[key] != described[key] for key in ("processor", "cores")):
        click.echo("The last results are of another machine: ratios move with it.")


def _table(changes: list[ratios.Change], date: str) -> Table:
    table = Table()
    for name in ("what / over what", "now", "95 %", date, "95 %", ""):
        table.add_column(name, justify="left" if "/" in name else "right", no_wrap=True)
    for now, before, verdict in changes:
        table.add_row(now.what, *_cells(now), *(_cells(before) if before else ("", "")), verdict)
    return table


def _cells(figure: Figure) -> tuple[str, str]:
    interval = figure.value.interval
    return f"{figure.value.median:.3g}", f"{interval[0]:.3g} - {interval[1]:.3g}" if interval else ""


def _report(line: str) -> None:
    click.echo(line, err=True)


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.performance")
