"""
Measure channels, pools, broadcasts and the starting of workers: ``python -m benchmarks channel spawn``, ``swarm``,
``broadcast``, ``pool``, ``items``, ``shared``, ``ui``, ``latency``, ``scale``, ``gallery`` and ``hostile``.

What is measured, how, and what it does not say is in docs/benchmarks.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import (
    broadcast,
    bulk,
    calls,
    gallery,
    hostile,
    imports,
    items,
    latency,
    machine,
    makespan,
    memory,
    picture,
    pool_start,
    rate,
    report,
    round_trip,
    scale,
    shared,
    spawn,
    swarm,
    ui,
)
from benchmarks.harness import ProgramFailed
from benchmarks.results import Results

_WIDTH = 116  # columns of the table where there is no terminal to ask
_GROUPS: dict[str, tuple[ModuleType, ...]] = {
    "channel": (round_trip, rate, bulk, memory),
    "spawn": (spawn, imports),
    "swarm": (swarm,),
    "broadcast": (broadcast,),
    "pool": (calls, makespan, pool_start),
    "shared": (shared,),
    "ui": (ui,),
    "items": (items,),
    "latency": (latency,),
    "scale": (scale,),
    "gallery": (gallery,),
    "hostile": (hostile,),
}
_ROUNDS, _SWARM_ROUNDS = 30, 5  # one on a Swarm takes up to two minutes
_BROADCAST_ROUNDS = 2  # and one of these up to four
_SHARED_ROUNDS = _GALLERY_ROUNDS = 5  # and one of these up to one


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("groups", nargs=-1, required=True, type=click.Choice(list(_GROUPS)))
@click.option(
    "--rounds",
    type=click.IntRange(1),
    help="Pairs of each comparison.  [default: 30; swarm, shared, gallery: 5; broadcast: 2]",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all there.")
@click.option("--picture", "svg", type=click.Path(dir_okay=False, path_type=Path), help="Draw the ratios there.")
def main(groups: tuple[str, ...], rounds: int | None, json_file: Path | None, svg: Path | None) -> None:
    """Measure channels, pools and the starting of workers against what one would have without aioparcs."""
    described = machine.describe()
    results = Results()
    with _progress() as watch:
        for module in (module for group in dict.fromkeys(groups) for module in _GROUPS[group]):
            try:
                usual = _SWARM_ROUNDS if module in (swarm, pool_start) else _ROUNDS
                usual = {broadcast: _BROADCAST_ROUNDS, shared: _SHARED_ROUNDS, gallery: _GALLERY_ROUNDS}.get(
                    module, usual
                )
                results.add(module.measure(rounds or usual, watch(module)))
            except ProgramFailed as error:
                raise click.ClickException(str(error)) from None
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(report.as_table(results))
    for line in results.left_out:
        click.echo(f"Left out: {line}", err=True)
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(report.as_json(results, described), indent=2) + "\n")
    if svg:
        caption = f"{described['processor']}, {described['cores']} cores; {described['python']}"
        svg.parent.mkdir(parents=True, exist_ok=True)
        svg.write_text(picture.draw(results.ratios, caption))


@contextmanager
def _progress() -> Iterator[Callable[[ModuleType], Callable[[int, int], None]]]:
    """Show progress on a terminal, drawn only between rounds: a thread that draws would be measured too."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, auto_refresh=False, disable=not sys.stderr.isatty()) as progress:

        def watch(module: ModuleType) -> Callable[[int, int], None]:
            name = module.__name__.rpartition(".")[2].replace("_", " ")
            bar = progress.add_task(name, total=None)

            def step(done: int, total: int) -> None:
                progress.update(bar, completed=done, total=total, refresh=True)

            return step

        yield watch


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
