"""Draw the plots of some results as SVG: with logarithmic axes, beside the ideal line, the same bytes each time."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from benchmarks.performance import titles
from benchmarks.performance.parts import NAPS
from benchmarks.performance.records import Parts, Point

# By what is drawn: its colour on light paper, and on dark.
_INK, _GRID, _PAPER = ("#24292f", "#e6edf3"), ("#d0d7de", "#30363d"), ("#ffffff", "#0d1117")
_OURS = "#1f6feb"
# Of medium lightness: they can be told from light and from dark paper, and from each other by their marks, too.
_COLOURS = ("#d1730f", "#0e9aa7", "#2f9e44", "#b59b00", "#a855c7", "#c2410c", "#7d8590")
_MARKS = "s<D^vPX"
# In all plots the same; those of the next line and of the last one are never in one plot.
_LOOKS = (
    "multiprocessing", "mpi4py",
    "multiprocessing_chunks", "joblib", "ray", "dask", "ipyparallel",
    "sockets", "streams", "zeromq", "grpc", "nats",
)  # fmt: skip
_EACH = 5  # series of one of these two lines
_SETTINGS: dict[Any, Any] = {  # for mypy the keys are a type
    "svg.fonttype": "none",  # texts stay texts
    "svg.hashsalt": "aioparcs",
    "font.family": "sans-serif",
    "font.sans-serif": ["system-ui", "DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "text.color": _INK[0],
    "axes.labelcolor": _INK[0],
    "axes.edgecolor": _GRID[0],
    "xtick.color": _INK[0],
    "ytick.color": _INK[0],
    "grid.color": _GRID[0],
}


class Plot(NamedTuple):
    """
    A plot.

    Attributes:
        name: that of its points, and of its file.
        part: where they are.
        title: what is shown.
        across: what the places are.
        write: writes a place.
        ideal: returns the ideal seconds at a place, by the points of the plot.
        ideal_is: what that is.
    """

    name: str
    part: str
    title: str
    across: str
    write: Callable[[float], str]
    ideal: Callable[[Sequence[Point], int], float | None]
    ideal_is: str


def _in_proportion(points: Sequence[Point], at: int) -> float | None:
    each = [point.seconds.median / point.at for point in points if point.series == "ours" and point.seconds]
    return at * min(each, default=0.0) or None


def _copies(points: Sequence[Point], at: int) -> float | None:
    return next((one.seconds.median for one in points if (one.series, one.at) == ("copies", at) and one.seconds), None)


PLOTS = (
    Plot(
        "start", "workers", "From nothing until each worker has answered", "workers", titles.count,
        _in_proportion, "in proportion",
    ),
    Plot(
        "naps", "workers", f"{NAPS:,} calls that wait for 10 ms", "workers", titles.count,
        lambda points, at: 0.01 * max(1.0, NAPS / at), "nothing but the waiting",
    ),
    Plot(
        "round_trip", "sizes", "One message there and back", "bytes of the message", titles.size, _copies,
        titles.SERIES["copies"],
    ),
    Plot(
        "items", "items", "Calls that do nothing, over 8 workers", "calls", titles.count,
        _in_proportion, "in proportion",
    ),
)  # fmt: skip


def draw(parts: Parts, folder: Path) -> None:
    """Write the pictures of all plots that have points."""
    folder.mkdir(parents=True, exist_ok=True)
    for plot in PLOTS:
        if (
            points := [point for point in parts[plot.part].points if point.plot == plot.name]
            if plot.part in parts
            else []
        ):
            (folder / f"{plot.name}.svg").write_text(as_svg(plot, points), encoding="utf-8")


def as_svg(plot: Plot, points: Sequence[Point]) -> str:
    """Return one picture."""
    file = io.StringIO()
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(8.4, 4.4), facecolor=_PAPER[0], layout="constrained")
        axes = figure.add_subplot(facecolor="none")
        _add_lines(axes, plot, points)
        _set_axes(axes, plot, points)
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    head, start, rest = file.getvalue().partition("<defs>")
    return f"{head}{_style()}{start}{rest}"


def _add_lines(axes: Axes, plot: Plot, points: Sequence[Point]) -> None:
    ats = sorted({point.at for point in points})
    ideal = [(at, seconds) for at in ats if (seconds := plot.ideal(points, at))]
    axes.plot(
        *zip(*ideal, strict=True), color=_INK[0], linestyle=(0, (4, 3)), linewidth=1, label=f"ideal: {plot.ideal_is}"
    )
    for name, title in titles.SERIES.items():
        own = [point for point in points if point.series == name]
        if not own or name == "copies":
            continue
        is_ours = name.startswith("ours")
        colour, mark = (_OURS, "o") if is_ours else _look(name)
        style = {"ours_shared": "dashdot", "ours_journal": "dotted"}.get(name, "solid")
        measured = [(point.at, point.seconds.median) for point in own if point.seconds]
        if not measured:
            continue
        axes.plot(
            *zip(*measured, strict=True), color=colour, marker=mark, linestyle=style, label=title,
            markersize=4.5, linewidth=2.2 if is_ours else 1.2, zorder=3 if is_ours else 2,
        )  # fmt: skip
        if any(point.stopped for point in own):
            axes.plot(*measured[-1], color=colour, marker="x", markersize=11, markeredgewidth=1.6, zorder=4)


def _look(name: str) -> tuple[str, str]:
    """Return the colour and the mark of a series."""
    place = _LOOKS.index(name)
    place -= _EACH * (place >= len(_COLOURS))
    return _COLOURS[place], _MARKS[place]


def _set_axes(axes: Axes, plot: Plot, points: Sequence[Point]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title(plot.title, loc="left", fontsize=11)
    axes.set_xlabel(plot.across)
    ats = sorted({point.at for point in points})
    axes.set_xticks(ats, [plot.write(at) for at in ats])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(10, numticks=20))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda seconds, _: titles.plain_time(seconds)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _style() -> str:
    """Return the colours for readers who prefer dark pages."""
    rules = [
        f'[style*="{kind}: {light}"]{{{kind}:{dark}!important}}'
        for light, dark in (_INK, _GRID, _PAPER)
        for kind in ("fill", "stroke")
    ]
    return f"<style>@media (prefers-color-scheme: dark){{{''.join(rules)}}} text{{fill:{_INK[0]}}}</style>\n "
