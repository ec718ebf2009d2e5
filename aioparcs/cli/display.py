"""What a run looks like from the command line: live on a terminal, lines elsewhere, next to nothing with ``-q``."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.style import Style
from rich.table import Table
from rich.text import Text

from aioparcs.cli.tally import Count, Tally, counted
from aioparcs.cli.terminal import Terminal, harmless
from aioparcs.engine import Observer, PoolState

__all__ = ["Board", "Detail", "LiveDisplay", "PlainDisplay", "opened"]

COLORS = ("cyan", "magenta", "yellow", "green", "blue", "red")
BAR = (10, 40)  # columns: the least and the most
FAILURES = 10  # workers of a module whose failure is told one by one; what fails in hundreds fails alike
STEPS = 4  # lines of progress that a plain display prints for a module
PERIOD = 0.25  # seconds between two looks of a plain display
PATIENCE = 5.0  # seconds after which it prints a count that is not complete yet


class Detail(IntEnum):
    """How much to say."""

    QUIET = -1
    NORMAL = 0
    VERBOSE = 1


@contextmanager
def opened(detail: Detail) -> Iterator[Observer]:
    """Give the display that fits stderr, and end it however the block ends."""
    console = Console(stderr=True, highlight=False)
    live = sys.stderr.isatty() and console.is_terminal and not console.is_dumb_terminal
    if detail is Detail.QUIET or not live:
        plain = PlainDisplay(detail)
        try:
            yield plain
        finally:
            plain.close()
        return
    display = LiveDisplay(Console(file=sys.stderr, highlight=False), detail)
    with display.terminal.shared():
        yield display


class _Display:
    """Counts all events, and makes a line of those that deserve one."""

    def __init__(self, detail: Detail) -> None:
        self.tally = Tally()
        self._detail = detail
        self._begun = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the display was made."""
        return time.monotonic() - self._begun

    def started(self, module: str, workers: range) -> None:
        if self._detail is Detail.VERBOSE:
            for worker in workers:
                self._say(module, worker, "asked for")
        self.tally.started(module, workers)

    def placed(self, module: str, workers: range, node: str) -> None:
        if self._detail is Detail.VERBOSE:
            for worker in workers:
                self._say(module, worker, f"placed on {node}")
        self.tally.placed(module, workers, node)

    def connected(self, module: str, worker: int) -> None:
        if self._detail is Detail.VERBOSE:
            self._say(module, worker, f"connected at {self.elapsed:.2f} s")
        self.tally.connected(module)

    def ended(self, module: str, worker: int, error: str | None) -> None:
        if error is not None and (self._detail is Detail.VERBOSE or self.tally[module].failed < FAILURES):
            self._say(module, worker, error.partition("\n")[0])
        elif error is None and self._detail is Detail.VERBOSE:
            self._say(module, worker, f"ended at {self.elapsed:.2f} s")
        self.tally.ended(module, worker, error)

    def stopped(self, module: str, worker: int) -> None:
        if self._detail is Detail.VERBOSE:
            self._say(module, worker, f"stopped at {self.elapsed:.2f} s")
        self.tally.stopped(module, worker)

    def progress(self, module: str, worker: int, done: float, total: float) -> None:
        self.tally.progress(module, worker, done, total)

    def pooled(self, state: PoolState) -> None:
        pass

    def output(self, module: str, worker: int | None, line: str) -> None:
        if self._detail is not Detail.QUIET:
            self._line(module, worker, " | ", line)

    def note(self, module: str, text: str) -> None:
        if self._detail is not Detail.QUIET:
            self._line(module, None, ": ", text)

    def _say(self, module: str, worker: int, text: str) -> None:
        self._line(module, worker, " ", text)

    def _line(self, module: str, worker: int | None, separator: str, text: str) -> None:
        raise NotImplementedError


class LiveDisplay(_Display):
    """
    Keeps a line for each module at the foot of a terminal: its workers, its progress, and the time.

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

    def _line(self, module: str, worker: int | None, separator: str, text: str) -> None:
        self.terminal.print(f"{self._prefix(module, worker)}{separator}{harmless(text, color=self._color)}")

    def _prefix(self, module: str, worker: int | None) -> str:
        known = self._prefixes.get((module, worker))
        if known is None:
            name = harmless(module if worker is None else f"{module}:{worker}", color=False)
            style = Style.parse(self.board.color(module))
            known = style.render(name, color_system=self._console._color_system) if self._color else name
            self._prefixes[module, worker] = known
        return known


class Board:
    """What stands at the foot of the terminal, rendered from the counts as they are at that moment."""

    def __init__(self, display: _Display) -> None:
        self._display = display
        self._colors: dict[str, str] = {}

    def color(self, module: str) -> str:
        """Choose a module's colour once and for all."""
        return self._colors.setdefault(module, COLORS[len(self._colors) % len(COLORS)])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(4):
            table.add_column(no_wrap=True)
        width = min(max(options.max_width - 56, BAR[0]), BAR[1])
        for count in self._display.tally.counts:
            bar = ProgressBar(total=1.0, completed=count.fraction, width=width)
            percent = Text(f"{count.fraction:4.0%}", style="progress.percentage")
            table.add_row(Text(count.module, self.color(count.module)), bar, percent, _states(count))
        yield table
        yield Text(self._display.tally.summary(self._display.elapsed), style="dim")


class PlainDisplay(_Display):
    """
    Prints a line to stderr when something has come about: for logs and pipes.

    A thread looks four times a second, so that workers asked for one by one make one line.

    Args:
        detail: how much to say; when quiet, only that a worker failed.
    """

    def __init__(self, detail: Detail) -> None:
        super().__init__(detail)
        self._told: dict[str, _Told] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, name="aioparcs-display", daemon=True)

    def started(self, module: str, workers: range) -> None:
        super().started(module, workers)
        if self._detail is not Detail.QUIET and self._thread.ident is None:
            self._thread.start()

    def close(self) -> None:
        """Print what has not been said yet, and the job in one line."""
        if self._thread.ident is not None:
            self._ended.set()
            self._thread.join()
            self._tell(last=True)
            sys.stdout.flush()
            _write(self.tally.summary(self.elapsed))

    def _line(self, module: str, worker: int | None, separator: str, text: str) -> None:
        if self._detail is not Detail.QUIET:
            self._tell()  # what came about before this line
        name = module if worker is None else f"{module}:{worker}"
        _write(f"{name}{separator}{text}")

    def _keep_looking(self) -> None:
        while not self._ended.wait(PERIOD):
            self._tell()

    def _tell(self, last: bool = False) -> None:
        with self._lock:
            for count in self.tally.counts:
                told = self._told.setdefault(count.module, _Told())
                for line in told.news(count, self.elapsed, last):
                    _write(f"{count.module}: {line}")


class _Told:
    """What a plain display has said of one module, so that it says nothing twice and not too often."""

    def __init__(self) -> None:
        self._numbers = {"asked": 0, "placed": 0, "connected": 0, "ended": 0}
        self._times = {"placed": 0.0, "connected": 0.0, "ended": 0.0}
        self._step = 0

    def news(self, count: Count, now: float, last: bool) -> Iterator[str]:
        asked = count.asked
        if asked != self._numbers["asked"]:
            self._numbers["asked"] = asked
            self._times.update(placed=now, connected=now, ended=now)
            yield f"{counted(asked, 'worker')} asked for"
        if self._is_news("placed", count.nodes.total(), asked, now, last):
            yield f"{count.nodes.total()} of {asked} placed on {count.places}"
        if self._is_news("connected", count.connected, asked, now, last):
            yield f"{count.connected} of {asked} connected"
        step = int(count.fraction * STEPS)
        if count.reports and self._step < step < STEPS:
            self._step = step
            yield f"{100 * step // STEPS} %"
        if self._is_news("ended", count.ended, asked, now, last):
            yield f"{count.done} of {asked} done{count.other_ends}"

    def _is_news(self, what: str, number: int, asked: int, now: float, last: bool) -> bool:
        changed = number != self._numbers[what]
        if not changed or not (last or number == asked or now - self._times[what] > PATIENCE):
            return False
        self._numbers[what], self._times[what] = number, now
        return True


def _write(line: str) -> None:
    sys.stderr.write(f"{line}\n")  # one write: a line is never torn by another thread's
    sys.stderr.flush()


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
