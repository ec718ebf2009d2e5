"""The inputs and outputs of a job's state: what happens to workers and launchers, and what is to be done about it."""

from typing import NamedTuple

from aioparcs.engine import LauncherState, WorkerGroup, WorkerSpec
from aioparcs.errors import WorkerLost
from aioparcs.messages.launcher import Exited, Kill, Log, Progress, Start

__all__ = [
    "Action",
    "CheckEngine",
    "CloseSession",
    "ConnectionEnded",
    "DeadlineReached",
    "DisconnectLauncher",
    "EndWorker",
    "EngineReported",
    "FailStart",
    "FilesSent",
    "GroupPlaced",
    "GroupRefused",
    "JobEnding",
    "KillRequested",
    "LauncherConnected",
    "LauncherFailed",
    "LauncherReported",
    "LauncherUnreachable",
    "ParentEnded",
    "ReleaseGroup",
    "RemoveLauncher",
    "ReplacementPlaced",
    "ReportConnected",
    "ReservationReleased",
    "SendFiles",
    "SendRequest",
    "SetNode",
    "ShowLog",
    "ShowProgress",
    "ShowWaits",
    "StartFailed",
    "StartRequested",
    "Stimulus",
    "StopGroup",
    "WatchGroup",
    "WorkerConnected",
]


# Stimuli


class GroupPlaced(NamedTuple):
    """The engine has a place for each of some workers that have their numbers."""

    group: WorkerGroup


class GroupRefused(NamedTuple):
    """The engine has no place for these numbers, or was not asked to the end."""

    workers: range


class StartRequested(NamedTuple):
    """The workers of a group may start now; those of a service dial its address, others the runner (None)."""

    group: WorkerGroup
    parent: str | None


class ReplacementPlaced(NamedTuple):
    """A number gets the place of a worker that is gone, at a launcher that is up (see `JobState.can_replace`)."""

    worker: int
    launcher: int
    rank: int
    size: int
    reservation: int


class ReservationReleased(NamedTuple):
    """A pool no longer keeps a reservation for other workers."""

    reservation: int


class LauncherConnected(NamedTuple):
    """A launcher's control connection is there."""

    launcher: int


class FilesSent(NamedTuple):
    """A launcher has the files of its workers."""

    launcher: int


class LauncherReported(NamedTuple):
    """A launcher has sent a report."""

    launcher: int
    report: Exited | Log | Progress


class ConnectionEnded(NamedTuple):
    """A launcher's control connection has ended: the engine may know why."""

    launcher: int
    reason: str


class LauncherUnreachable(NamedTuple):
    """A launcher is silent, or breaks the wire's rules: it counts as lost at once."""

    launcher: int
    reason: str


class LauncherFailed(NamedTuple):
    """The engine has seen a launcher fail; its report follows."""

    launcher: int


class EngineReported(NamedTuple):
    """The engine has reported a launcher's state, with its last lines when that is an end."""

    state: LauncherState
    last_lines: tuple[str, ...] = ()


class WorkerConnected(NamedTuple):
    """A worker's channel is there."""

    worker: int


class StartFailed(NamedTuple):
    """A worker of the original PARCS can't be reached."""

    worker: int
    reason: str


class KillRequested(NamedTuple):
    """A worker shall get a signal."""

    worker: int
    signal: int


class ParentEnded(NamedTuple):
    """A service starts no more workers: what it has started is killed, to any depth."""

    worker: int


class DeadlineReached(NamedTuple):
    """The time of `JobState.next_deadline` has come."""


class JobEnding(NamedTuple):
    """All workers shall end."""


Stimulus = (
    GroupPlaced
    | GroupRefused
    | StartRequested
    | ReplacementPlaced
    | ReservationReleased
    | LauncherConnected
    | FilesSent
    | LauncherReported
    | ConnectionEnded
    | LauncherUnreachable
    | LauncherFailed
    | EngineReported
    | WorkerConnected
    | StartFailed
    | KillRequested
    | ParentEnded
    | DeadlineReached
    | JobEnding
)

# Actions


class SendRequest(NamedTuple):
    """Send a request over a launcher's control connection."""

    launcher: int
    request: Start | Kill


class SendFiles(NamedTuple):
    """Send a launcher the files of its workers; `FilesSent` follows, or the launcher's end."""

    launcher: int
    spec: WorkerSpec


class ReportConnected(NamedTuple):
    """Report that a worker is connected."""

    module: str
    worker: int


class SetNode(NamedTuple):
    """Report the node of some workers of a module."""

    module: str
    workers: list[int]
    node: str


class ShowProgress(NamedTuple):
    """Report a worker's progress."""

    module: str
    progress: Progress


class ShowLog(NamedTuple):
    """Report what a module's workers have printed."""

    module: str
    log: Log


class ShowWaits(NamedTuple):
    """Report what workers of a module wait for that are starting."""

    module: str
    workers: int
    reason: str


class FailStart(NamedTuple):
    """Fail a worker's start, as `StartError` says."""

    worker: int
    reason: str
    last_lines: tuple[str, ...]


class EndWorker(NamedTuple):
    """
    Report a worker's end, its last event.

    Attributes:
        worker: its number.
        lost: why it is gone; None for a clean end.
        error: what people are told about the end: why it failed, or None.
        is_stopped: True for an end that the runner itself has requested.
        cut: True when nothing more of its stream will come.
        results: see `Exited`.
    """

    worker: int
    lost: WorkerLost | None
    error: str | None
    is_stopped: bool
    cut: bool
    results: bytes


class CloseSession(NamedTuple):
    """End the connection on which a service asks for workers, if it has one."""

    worker: int


class WatchGroup(NamedTuple):
    """Watch what the engine reports of a group's launchers."""

    group: WorkerGroup


class StopGroup(NamedTuple):
    """Have the engine stop what a group's launchers run."""

    group: WorkerGroup


class ReleaseGroup(NamedTuple):
    """Have the engine release what it holds for a group."""

    group: WorkerGroup


class CheckEngine(NamedTuple):
    """Have the engine check its launchers at once."""


class DisconnectLauncher(NamedTuple):
    """Abort a launcher's control connection."""

    launcher: int


class RemoveLauncher(NamedTuple):
    """Remove a launcher that has ended, and close what is left of its connection: no worker is left there."""

    launcher: int


Action = (
    SendRequest
    | SendFiles
    | ReportConnected
    | SetNode
    | ShowProgress
    | ShowLog
    | ShowWaits
    | FailStart
    | EndWorker
    | CloseSession
    | WatchGroup
    | StopGroup
    | ReleaseGroup
    | CheckEngine
    | DisconnectLauncher
    | RemoveLauncher
)
