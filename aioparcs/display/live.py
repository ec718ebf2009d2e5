"""The display of terminals, drawn by rich."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.style import Style
from rich.table import Table
from rich.text import Text

from aioparcs.display.events import Detail, Display
from aioparcs.display.pools import Pool
from aioparcs.display.tally import Count, counted
from aioparcs.display.terminal import Terminal
from aioparcs.display.text import harmless, origin

__all__ = ["Board", "LiveDisplay", "live_display"]

COLORS = ("cyan", "magenta", "yellow", "green", "blue", "red")
BAR = (10, 30)  # columns: the least and the most
TEXTS = 70  # columns that the texts of a row need beside its bar
POOLS = 10  # rows of pools, at the most


@contextmanager
def live_display(detail: Detail) -> Iterator[LiveDisplay | None]:
    """Draw on the terminal that stderr is until the block ends; give None if it can't be drawn on."""
    console = Console(file=sys.stderr, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        yield None
        return
    display = LiveDisplay(console, detail)
    with display.terminal.shared():
        yield display


class LiveDisplay(Display):
    """
    Keeps a line for each module and each pool at the foot of a terminal: workers, progress, and the time.

    Args:
        console: the terminal.
        detail: how much to say.
    """

    def __init__(self, console: Console, detail: Detail) -> None:
        super().__init__(detail)
        self._color = console.color_system is not None and not console.no_color
        self._console = console
        self._prefixes: dict[tuple[str, int | None], str] = {}
        self.board = Board(self)
        self.terminal = Terminal(console, self.board)

    def started(self, module: str, workers: range) -> None:
        super().started(module, workers)
        self.terminal.draw()

    def _show(self, pool: Pool) -> None:
        self.terminal.draw()  # the board has it

    def _line(self, module: str, worker: int | None, separator: str, text: str) -> None:
        self.terminal.print(f"{self._prefix(module, worker)}{separator}{harmless(text, color=self._color)}")

    def _prefix(self, module: str, worker: int | None) -> str:
        known = self._prefixes.get((module, worker))
        if known is None:
            name = origin(module, worker)
            style = Style.parse(self.board.color(module))
            known = style.render(name, color_system=self._console._color_system) if self._color else name
            self._prefixes[module, worker] = known
        return known


class Board:
    """What stands at the foot of the terminal, rendered from the counts as they are at that moment."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._colors: dict[str, str] = {}

    def color(self, module: str) -> str:
        """Choose a module's colour once and for all."""
        return self._colors.setdefault(module, COLORS[len(self._colors) % len(COLORS)])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        display, pools = self._display, self._display.pools
        working, over = pools.working, pools.over
        shown = [*over, *working][-POOLS:]
        table = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(3):
            table.add_column(no_wrap=True)
        width = min(max(options.max_width - TEXTS, BAR[0]), BAR[1])
        for count in display.tally.counts:
            self._add_module(table, count, width, bare=bool(shown) and not count.reports)
        for pool in shown:
            table.add_row(self._name(pool.state.name), _pool_bar(pool, width), _pool_text(pool, display.elapsed))
        yield table
        more = pools.earlier + len(over) + len(working) - len(shown)
        if more:
            yield Text(f"{counted(more, 'more pool')}", style="dim")
        yield Text(display.tally.summary(display.elapsed), style="dim")

    def _add_module(self, table: Table, count: Count, width: int, *, bare: bool) -> None:
        """Add a module's row, without a bar if that would say nothing: a pool's workers are done with the pool."""
        name, states = self._name(count.module), _states(count)
        left = self._display.left(count.module)
        if left:
            states.append(f", {left}")
        if bare:
            table.add_row(name, "", states)
        else:
            percent = Text(f"{count.fraction:4.0%}  ", style="progress.percentage")
            bar = ProgressBar(total=1.0, completed=count.fraction, width=width)
            table.add_row(name, bar, Text.assemble(percent, states))

    def _name(self, name: str) -> Text:
        return Text(harmless(name, color=False), self.color(name))


def _pool_bar(pool: Pool, width: int) -> ProgressBar:
    """Make a pool's bar; it pulses as long as nobody knows how many items there are."""
    state = pool.state
    total = state.done if state.total is None and pool.ended is not None else state.total
    return ProgressBar(total=None if total is None else max(total, 1), completed=state.done, width=width)


def _pool_text(pool: Pool, now: float) -> Text:
    time = f"in {pool.took}" if pool.ended is not None else pool.left(now)
    failed = Text(pool.failures, style="red")
    # What is cut off at the end of a narrow terminal, the modules' rows say too.
    return Text("  ").join(
        filter(None, (Text(pool.items), failed, Text(time), Text(pool.rate(now)), Text(pool.workers)))
    )


def _states(count: Count) -> Text:
    if count.ended == count.asked:
        text = Text(f"{count.done} of {count.asked} done", "green" if not count.failed else "")
    else:
        of = f" of {count.asked}" if count.connected < count.asked else ""
        text = Text(f"{count.connected}{of} connected" + (f", {count.done} done" if count.done else ""))
    if count.nodes:
        text.append(f" on {counted(len(count.nodes), 'node')}")
    text.append(count.other_ends, style="red" if count.failed else "")
    return text
