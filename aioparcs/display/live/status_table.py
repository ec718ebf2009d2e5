"""The status table at the foot of a terminal: a row for each module and each pool, fitted to its width."""

from __future__ import annotations

from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aioparcs.display.base import Display
from aioparcs.display.text import origin, sanitize
from aioparcs.display.view import Pool, counted, describe_end
from aioparcs.events import ModuleState

__all__ = ["StatusTable"]

COLORS = ("cyan", "magenta", "yellow", "green", "blue", "red")
BAR = (10, 30)  # columns: the least and the most
NAME = 12  # columns that a long name keeps while there is anything else to leave out
TEXTS = 52  # columns kept for the texts of a row, so that its bar doesn't change its width with each figure
GAP = 2  # columns between two parts of a row


class _Row(NamedTuple):
    """
    A row before it is fitted to the width.

    Attributes:
        name: the name of the module or pool.
        bar: the progress, None for no bar.
        texts: texts, left out from the end where there is no room.
        least: how many of the texts are never left out.
    """

    name: Text
    bar: ProgressBar | None
    texts: list[Text]
    least: int

    def text(self, room: int | None) -> Text:
        """Return the texts that fit into some columns, None for all; the first ones in any case."""
        texts = list(self.texts)
        while room is not None and len(texts) > self.least and _columns(texts) > room:
            texts.pop()
        return Text(" " * GAP).join(texts)


class StatusTable:
    """The table at the foot of the terminal, rendered from the counts as they are at that moment."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._colors: dict[str, str] = {}

    def color(self, module: str) -> str:
        """Return a module's colour, chosen at the first call."""
        return self._colors.setdefault(module, COLORS[len(self._colors) % len(COLORS)])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        display, view = self._display, self._display.view
        pools, modules = view.pools, view.modules
        shown = pools.listed
        rows = [self._of_module(state, bare=bool(shown) and not state.reports) for state in modules]
        rows += [self._of_pool(pool, alone=len(shown) == 1) for pool in shown]
        if rows:
            yield _fitted(rows, options.max_width)
        waiting = [(state.module, state.waits) for state in modules]
        waiting += [(pool.state.name, pool.state.waits) for pool in shown if pool.ended is None]
        for name, waits in waiting:
            if waits:
                text = f"{origin(name, None)}: {sanitize(waits, color=False)}"
                yield Text(text, style="yellow", no_wrap=True, overflow="ellipsis")
        if pools.unlisted:
            yield Text(f"{counted(pools.unlisted, 'more pool')}", style="dim")
        # The row of a single module says the rest.
        seconds = f"{display.elapsed:.1f} s"
        yield Text(seconds if len(modules) == 1 else view.summary(display.elapsed), style="dim")

    def _of_module(self, state: ModuleState, *, bare: bool) -> _Row:
        """Return a module's row, without a bar if that would say nothing: a pool's workers end with the pool."""
        workers, left = _workers(state), Text(self._display.view.left(state, self._display.now))
        texts = list(filter(None, (workers, _others(state), left, _nodes(state))))
        if bare:
            return _Row(self._name(state.module), None, texts, 1)
        texts[0] = Text.assemble((f"{state.fraction:4.0%}  ", "progress.percentage"), workers)
        return _Row(self._name(state.module), ProgressBar(total=1.0, completed=state.fraction), texts, 1)

    def _of_pool(self, pool: Pool, *, alone: bool) -> _Row:
        now = self._display.now
        time = f"in {pool.took}" if pool.ended is not None else pool.left(now)
        # The module's row says how many workers there are, unless several pools share them.
        workers = "" if alone and not pool.is_short else pool.workers
        others = [Text(pool.failures, style="red"), Text(time), Text(pool.rate(now)), Text(workers)]
        texts = [Text(pool.items), *filter(None, others)]
        return _Row(self._name(pool.state.name), _pool_bar(pool), texts, 1 + bool(pool.failures))

    def _name(self, name: str) -> Text:
        return Text(origin(name, None), self.color(name))


def _fitted(rows: list[_Row], width: int) -> Table:
    """
    Return a table of rows, fitted into some columns.

    Where there are too few, bars become shorter, then names, then texts are left out from the end of the row, then
    bars; the progress, and the number of failures, are never left out.
    """
    names = max(row.name.cell_len for row in rows)
    texts = max(TEXTS, *(row.text(None).cell_len for row in rows))
    least = max(row.text(0).cell_len for row in rows)
    bar = _between(BAR[0], width - names - texts - 2 * GAP, BAR[1])
    name = _between(min(NAME, names), width - bar - texts - 2 * GAP, names)
    room = width - name - bar - 2 * GAP
    if least > room:
        bar = 0
        name = _between(1, width - least - GAP, name)
        room = width - name - GAP
    table = Table.grid(padding=(0, GAP, 0, 0))
    for columns in (name, bar) if bar else (name,):
        table.add_column(no_wrap=True, width=columns)
    table.add_column(no_wrap=True)
    for row in rows:
        row.name.truncate(name, overflow="ellipsis")
        if row.bar:
            row.bar.width = bar
        bars = [row.bar or ""] if bar else []
        table.add_row(row.name, *bars, row.text(room))
    return table


def _between(least: int, number: int, most: int) -> int:
    return max(least, min(number, most))


def _columns(texts: list[Text]) -> int:
    return sum(text.cell_len for text in texts) + GAP * (len(texts) - 1)


def _pool_bar(pool: Pool) -> ProgressBar:
    """Return a pool's bar; it pulses as long as the number of items is not known."""
    state = pool.state
    total = state.done if state.total is None and pool.ended is not None else state.total
    return ProgressBar(total=None if total is None else max(total, 1), completed=state.done)


def _workers(state: ModuleState) -> Text:
    if not state.present:
        return Text(describe_end(state), "green" if not state.failed else "")
    of = f"{state.up} of " if state.up < state.present else ""
    return Text(f"{of}{counted(state.present, 'worker')} connected")


def _others(state: ModuleState) -> Text:
    """Return how many workers are gone, and how, of a module that has others; else an empty text."""
    if not state.present:
        return Text()
    numbers = ((state.done, "finished"), (state.stopped, "stopped"), (state.failed, "failed"))
    text = ", ".join(f"{number} {end}" for number, end in numbers if number)
    return Text(text, style="red" if state.failed else "")


def _nodes(state: ModuleState) -> Text:
    return Text(f"on {counted(len(state.nodes), 'node')}") if state.nodes else Text()
