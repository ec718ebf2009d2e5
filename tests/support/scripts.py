"""Displays by a script: events at the times of a clock that stands still until it is set, and what is drawn then."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console as Screen

from aioparcs.display import Clock, Detail
from aioparcs.display.live import LiveDisplay
from aioparcs.display.plain import PlainDisplay
from aioparcs.events import (
    Notice,
    PoolProgress,
    PoolState,
    Subscriber,
    WorkerConnected,
    WorkerExited,
    WorkerProgress,
    WorkersPlaced,
    WorkersRequested,
    WorkerStopped,
    WorkersWaiting,
)

__all__ = ["Live", "Plain", "Script", "StillClock", "live"]


class StillClock(Clock):
    """
    The time that a display goes by: it stands still until it is set.

    Attributes:
        time: seconds.
    """

    time = 0.0

    def now(self) -> float:
        return self.time


class Script:
    """
    Events for a display, each at the time that its clock shows.

    Attributes:
        clock: the clock.
    """

    def __init__(self, display: Subscriber, clock: StillClock) -> None:
        self.clock = clock
        self._display = display

    def request(self, module: str, workers: range) -> None:
        self._display(WorkersRequested(self.clock.time, module, workers))

    def place(self, module: str, workers: range, node: str) -> None:
        self._display(WorkersPlaced(self.clock.time, module, workers, node))

    def wait(self, module: str, workers: int, reason: str) -> None:
        self._display(WorkersWaiting(self.clock.time, module, workers, reason))

    def connect(self, module: str, *workers: int) -> None:
        for worker in workers:
            self._display(WorkerConnected(self.clock.time, module, worker))

    def exit(self, module: str, worker: int, error: str | None = None) -> None:
        self._display(WorkerExited(self.clock.time, module, worker, error))

    def stop(self, module: str, worker: int) -> None:
        self._display(WorkerStopped(self.clock.time, module, worker))

    def progress(self, module: str, worker: int, done: float, total: float) -> None:
        self._display(WorkerProgress(self.clock.time, module, worker, done, total))

    def pool(self, state: PoolState) -> None:
        self._display(PoolProgress(self.clock.time, state))

    def note(self, module: str, text: str) -> None:
        self._display(Notice(self.clock.time, module, text))

    def work(self, state: PoolState, seconds: int, per_second: int) -> PoolState:
        """Complete so many items of a pool in each second, for some seconds."""
        self.pool(state)
        for _ in range(seconds * 10):
            self.clock.time = round(self.clock.time + 0.1, 1)
            state = state._replace(done=state.done + per_second // 10)
            self.pool(state)
        return state


class Plain(Script):
    """A plain display and its script."""

    def __init__(self, detail: Detail = Detail.NORMAL) -> None:
        clock = StillClock()
        self.display = PlainDisplay(detail, clock)
        super().__init__(self.display, clock)


class Live(Script):
    """A live display and its script."""

    def __init__(self) -> None:
        clock = StillClock()
        self.display = LiveDisplay(Screen(file=io.StringIO(), width=100, force_terminal=True), Detail.NORMAL, clock)
        super().__init__(self.display, clock)

    def lines(self, width: int = 100) -> list[str]:
        """Draw the foot on a terminal of some columns."""
        screen = Screen(file=io.StringIO(), width=width, color_system=None)
        screen.print(self.display.table)
        assert isinstance(screen.file, io.StringIO)
        return screen.file.getvalue().splitlines()

    def shown(self, width: int = 100) -> list[str]:
        """Draw the foot, without bars and more spaces than one."""
        return [" ".join(line.translate(str.maketrans("", "", "━╸╺")).split()) for line in self.lines(width)]


@contextmanager
def live() -> Iterator[Live]:
    script = Live()
    try:
        yield script
    finally:
        script.display.terminal.close()
