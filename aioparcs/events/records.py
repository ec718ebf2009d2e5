"""
The events of a job: records that say what has happened, and when.

No clock is read here: who publishes an event passes its time, in seconds of the program's monotonic clock.

Each program loads these, so they are tuples, which are defined in a fifth of the time of a frozen dataclass; and their
annotations are no texts, which typing would compile one by one. Two events with equal values are equal, of any class.
"""

from typing import NamedTuple

__all__ = [
    "Action",
    "CallSpan",
    "CallSpans",
    "CallTraceback",
    "LogLines",
    "ModuleState",
    "Notice",
    "PoolProgress",
    "PoolRecord",
    "PoolState",
    "ProgramEnding",
    "ProgramStarted",
    "Snapshot",
    "StatusLine",
    "WorkerConnected",
    "WorkerExited",
    "WorkerProgress",
    "WorkerStopped",
    "WorkersPlaced",
    "WorkersRequested",
    "WorkersWaiting",
]


class PoolState(NamedTuple):
    """
    The progress of a pool.

    Attributes:
        id: the pool's number in its program, from 0.
        name: what it is called: its module, unless its user says otherwise.
        done: items whose results are there, failed ones included.
        failed: items that failed.
        total: how many items there are, None while that is unknown.
        running: items that are with workers.
        workers: workers that are up.
        wanted: workers that there should be.
        repeats: how often calls that had failed were made again.
        is_open: True while the pool is not over though no worker is wanted: an elastic one may need none for now.
        waits: what it waits for, as text for people; "" for nothing.
    """

    id: int
    name: str
    done: int
    failed: int
    total: int | None
    running: int
    workers: int
    wanted: int
    repeats: int = 0
    is_open: bool = False
    waits: str = ""

    @property
    def is_over(self) -> bool:
        """True when the pool has ended."""
        return not self.wanted and not self.is_open


class CallSpan(NamedTuple):
    """
    What a worker did from one time to another: one call of a function, or many short ones, one after the other.

    Attributes:
        worker: its number.
        function: the function's name, "" for that of a module with only one.
        begin: when the first of the calls began, as the program's clock has it.
        end: when the last of them had its result.
        busy: the seconds that they took together; fewer than between the two if it had nothing to do in between, and
            more if it ran several at once.
        calls: how many calls they were.
        failed: how many of these have failed.
        call: which call it was, if it is one, and not a short one that succeeded; the first and the last of them if
            they are long ones whose results came together; else "".
        error: why it failed or was cancelled, if it is one call that did; else "".
        cancelled: how many calls were cancelled while they ran, and so neither succeeded nor failed. Each of a pool
            ends when its worker has answered, which for a plain function is when that has run to its end.
        lost: how many of those that have failed ran when their worker was lost.
    """

    worker: int
    function: str
    begin: float
    end: float
    busy: float
    calls: int
    failed: int
    call: str
    error: str
    cancelled: int = 0
    lost: int = 0

    @property
    def title(self) -> str:
        """Which call it was, and whether it was cancelled, for people."""
        return f"{self.call}, cancelled" if self.call and self.cancelled else self.call

    @property
    def reason(self) -> str:
        """Why it has failed, or was cancelled or lost, for people; "" if it is not one call that did."""
        word = "lost" if self.lost else "cancelled" if self.cancelled else ""
        if not word or self.calls > 1:
            return self.error
        return f"{word}: {self.error}" if self.error else word


class CallTraceback(NamedTuple):
    """
    Where calls have failed.

    Attributes:
        spans: the places of these calls among the spans of their event.
        text: the traceback, and the notes of the error, as text without the error itself; its end if it is long.
    """

    spans: tuple[int, ...]
    text: str


class PoolRecord(NamedTuple):
    """
    A pool, and what was seen of it.

    Attributes:
        state: its progress.
        peak: the most workers that it had.
        begun: when its first report came.
        ended: when it was over, None while it isn't.
    """

    state: PoolState
    peak: int
    begun: float
    ended: float | None


class ModuleState(NamedTuple):
    """
    The workers of a module.

    Attributes:
        module: the module's name.
        requested: workers requested, in all.
        up: workers that are connected now.
        done: workers that have ended cleanly.
        failed: workers that have ended otherwise.
        stopped: workers that the runner has ended.
        reports: whether any worker has reported its progress.
        fraction: the share of the work that is done, 0 to 1; each worker counts alike.
        nodes: how many workers each node has, by its name.
        waits: what workers wait for that take long to start, as text for people; "" for nothing.
    """

    module: str
    requested: int
    up: int
    done: int
    failed: int
    stopped: int
    reports: bool
    fraction: float
    nodes: dict[str, int]
    waits: str = ""

    @property
    def ended(self) -> int:
        """The number of workers that have ended, in any way."""
        return self.done + self.failed + self.stopped

    @property
    def present(self) -> int:
        """The number of workers that have not ended, connected or not."""
        return self.requested - self.ended


class ProgramStarted(NamedTuple):
    """
    The program begins.

    Attributes:
        date: when, in seconds since 1970, UTC.
        program: its name: its file, and the folder of that.
        versions: of what it runs on, by name.
        has_calls: whether all calls of pools are recorded.
    """

    time: float
    date: float
    program: str
    versions: dict[str, str]
    has_calls: bool = True

    @property
    def is_submitted(self) -> bool:
        """True of a program on a Swarm, whose events are those of its log: they are rarer than others."""
        return "job" in self.versions


class WorkersRequested(NamedTuple):
    """
    Workers of a module were requested.

    Attributes:
        module: the module's name.
        workers: their numbers.
        parent: the number of the worker that has requested them, None for the runner itself.
    """

    time: float
    module: str
    workers: range
    parent: int | None = None


class WorkersPlaced(NamedTuple):
    """The engine has chosen a node for some workers."""

    time: float
    module: str
    workers: range
    node: str


class WorkersWaiting(NamedTuple):
    """Most of the workers of a module that take long to start wait for the same; it is reported again if it changes."""

    time: float
    module: str
    workers: int
    reason: str

    @property
    def text(self) -> str:
        """How many workers wait, and for what, for people."""
        return f"{self.workers:,} {'worker waits' if self.workers == 1 else 'workers wait'}: {self.reason}"


class WorkerConnected(NamedTuple):
    """A worker is connected."""

    time: float
    module: str
    worker: int


class WorkerExited(NamedTuple):
    """A worker has ended by itself; ``error`` is None for a clean end."""

    time: float
    module: str
    worker: int
    error: str | None


class WorkerStopped(NamedTuple):
    """The runner has ended a worker that was not done."""

    time: float
    module: str
    worker: int


class WorkerProgress(NamedTuple):
    """A worker has reported its progress, in numbers that need not make sense."""

    time: float
    module: str
    worker: int
    done: float
    total: float


class PoolProgress(NamedTuple):
    """The state of a pool, several times a second while it works and once when it is over."""

    time: float
    state: PoolState


class CallSpans(NamedTuple):
    """
    Calls that workers have answered, published only where a subscriber wants them.

    Attributes:
        pool: the number in its program of the pool that has made them, None for calls of tasks.
        spans: what the workers did; short calls are merged, so that these are few.
        tracebacks: where some of them have failed: a few different places.
    """

    time: float
    pool: int | None
    spans: tuple[CallSpan, ...]
    tracebacks: tuple[CallTraceback, ...] = ()


class LogLines(NamedTuple):
    """Lines that workers, or their launcher (None), have printed."""

    time: float
    module: str
    lines: tuple[tuple[int | None, str], ...]


class Notice(NamedTuple):
    """A text for people: something takes a while, or something was lost; a warning is for those who want few lines."""

    time: float
    module: str
    text: str
    is_warning: bool = False


class Action(NamedTuple):
    """A user has changed the job while it ran: the text says what was done, such as a kill of a worker, and by what."""

    time: float
    text: str


class ProgramEnding(NamedTuple):
    """
    The program is about to print how it ended: what displays hold back comes first.

    Attributes:
        error: why it ends, "" if that is no error.
    """

    time: float
    error: str


class Snapshot(NamedTuple):
    """
    All that a display draws, in place of the events that led to it: its size does not grow with the number of workers.

    Attributes:
        time: when, in seconds since the program's display began; so are the times of the pools.
        modules: the workers of each module.
        pools: the pools that are at work, and the last of those that are over.
        earlier: how many other pools there were.
        is_over: whether the program has ended.
    """

    time: float
    modules: tuple[ModuleState, ...]
    pools: tuple[PoolRecord, ...]
    earlier: int
    is_over: bool


class StatusLine(NamedTuple):
    """A line on counts and progress, for those who have no display that draws them."""

    time: float
    text: str
