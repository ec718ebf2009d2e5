"""
The JSON of the live view.

Times are seconds since a job began, rounded to milliseconds. Keys are those of JavaScript, which reads them.
"""

from __future__ import annotations

from typing import Any, TypedDict

__all__ = [
    "Calls",
    "Channel",
    "Current",
    "Explanation",
    "FunctionRow",
    "Items",
    "JobRow",
    "Message",
    "ModuleRow",
    "NodeRow",
    "Overview",
    "PoolRow",
    "Usage",
    "WorkerCounts",
    "WorkerRow",
    "rounded",
]

# What a list of lists has in each of its rows: see `Message`.
Calls = list[list[Any]]


class WorkerCounts(TypedDict):
    """The workers of a job: those requested in all, and how many of them are up or have ended in which way."""

    requested: int
    up: int
    done: int
    lost: int
    stopped: int


class Items(TypedDict):
    """The items of a job's pools; the total is None while one of the pools doesn't know its own."""

    done: int
    total: int | None
    failed: int
    running: int


class JobRow(TypedDict):
    """
    A job in a list.

    ``state`` is running, done, failed, stopped (by a signal) or killed, the latter for one whose end was not recorded.
    ``started`` is seconds since 1970. ``rate`` is items a second, None at the end, ``left`` the seconds that are left,
    None if that is unknown.
    """

    id: str
    program: str
    engine: str
    state: str
    started: float
    seconds: float
    workers: WorkerCounts
    items: Items
    rate: float | None
    left: float | None
    error: str
    waits: list[str]
    control: bool


class Overview(JobRow):
    """
    A job on its own page.

    ``hasCalls`` says whether its calls are recorded: else their numbers are unknown, and only those are known that
    take long. ``isFull`` says that its history has no more calls and lines.
    """

    versions: dict[str, str]
    hasCalls: bool
    calls: int
    failedCalls: int
    utilisation: float | None
    isFull: bool


class PoolRow(TypedDict):
    """A pool, see `aioparcs.events.PoolState`; ``peak`` is the most workers that it had."""

    id: int
    name: str
    done: int
    failed: int
    total: int | None
    running: int
    workers: int
    wanted: int
    repeats: int
    waits: str
    peak: int
    begun: float
    ended: float | None
    rate: float
    left: float | None


class ModuleRow(TypedDict):
    """The workers of a module, see `aioparcs.events.ModuleState`."""

    module: str
    requested: int
    up: int
    done: int
    failed: int
    stopped: int
    fraction: float
    reports: bool
    nodes: dict[str, int]
    waits: str


class FunctionRow(TypedDict):
    """The calls of a function; ``busy`` and ``longest`` are seconds."""

    name: str
    calls: int
    failed: int
    cancelled: int
    busy: float
    longest: float


class NodeRow(TypedDict):
    """The workers of a node and their calls; the name is "" for those whose node is not known."""

    node: str
    workers: int
    up: int
    lost: int
    calls: int
    busy: float


class Current(TypedDict):
    """The call that a worker is in."""

    function: str
    call: str
    begin: float


class Usage(TypedDict):
    """The CPU time of a worker's process as a share of one core, and its memory in bytes."""

    cpu: float
    memory: int


class Channel(TypedDict):
    """The messages and bytes of a worker's channel so far, and the bytes that wait to be sent or received."""

    sent: int
    received: int
    bytesSent: int
    bytesReceived: int
    queued: int
    unread: int


class WorkerRow(TypedDict):
    """
    A worker.

    ``state`` is starting, waiting, calling, connected (one of these two), done, lost, stopped, ended (with its job) or
    unknown (its runner was killed).
    """

    number: int
    module: str
    node: str
    state: str
    requested: float
    connected: float | None
    ended: float | None
    reason: str
    calls: int
    failed: int
    busy: float
    current: Current | None
    parent: int | None
    usage: Usage | None
    channel: Channel | None


class Explanation(TypedDict):
    """A reason why something waits; ``subject`` is job, ``pool NAME``, ``module NAME`` or ``worker N``."""

    subject: str
    text: str
    since: float | None


class Message(TypedDict, total=False):
    """
    A message about one job: all of it (``reset``), or what has changed since the last one.

    Rows of lists:

    - ``spans``: worker, number of the function, begin, end, busy, calls, failed, call, error, cancelled; the number is
      -1, and the calls are messages, for a time with messages and no call
    - ``series``: time, up, calling, calls per second, failed ones per second, items done, messages and bytes per second
    - ``peers``: from, to, opened, closed or None
    - ``slowest``: busy, function, call, worker, begin
    - ``failures``: time, function, call, error, worker, traceback or ""
    - ``log``: number, time, module, worker or None, text, level: 0 for output, 1 for a notice, 2 for a warning

    ``workers`` has rows that have changed, ``spans``, ``series``, ``failures`` and ``log`` have new rows, unless
    ``workersReset``, ``spansReset`` or ``seriesReset`` say that all of them come again. Other keys have all of their
    rows. Readers keep the last 50 of ``failures`` and the last 2,000 of ``log``.
    """

    reset: bool
    now: float
    overview: Overview
    pools: list[PoolRow]
    modules: list[ModuleRow]
    functions: list[FunctionRow]
    nodes: list[NodeRow]
    workers: list[WorkerRow]
    workersReset: bool
    spans: Calls
    spansReset: bool
    series: Calls
    seriesReset: bool
    peers: Calls
    slowest: Calls
    failures: Calls
    log: Calls
    explain: list[Explanation]


def rounded(seconds: float) -> float:
    """Return seconds, rounded to milliseconds."""
    return round(seconds, 3)
