"""The records of a job's state: the workers and launchers that have not ended, each with its phase."""

from __future__ import annotations

from enum import Enum, auto

from aioparcs.engine import WorkerGroup
from aioparcs.messages.launcher import Kill, Start
from aioparcs.runner.state.stimuli import EngineReported

__all__ = ["LONGEST_LINE", "LauncherPhase", "LauncherRecord", "WorkerPhase", "WorkerRecord"]

# Characters of a line of output; launchers cut what is longer.
LONGEST_LINE = 8 << 10


class WorkerPhase(Enum):
    """The phases of a worker before its end, in their order; a worker that has ended has no record."""

    NUMBERED = auto()  # a place is requested from the engine
    PLACED = auto()  # the service that wants it has yet to expect it
    STARTING = auto()  # requested from its launcher, or will be when that is connected
    CONNECTED = auto()
    FAILED = auto()  # instead of CONNECTED: its start has failed, and its end is not reported yet


class LauncherPhase(Enum):
    """The phases of a launcher."""

    STARTING = auto()  # it is not connected yet
    RECEIVING = auto()  # it is connected, and gets the files of its workers
    CONNECTED = auto()
    EXITED = auto()  # the engine has reported its end; its last frames are on their way
    DISCONNECTED = auto()  # its connection has ended; the engine may yet report why
    LOST = auto()  # all its workers have ended; the engine has not reported its end
    GONE = auto()  # both is so
    FAILED = auto()  # instead of GONE: it was never connected


class WorkerRecord:
    """
    A worker that has not ended.

    Attributes:
        number: its number in the job.
        module: its module.
        parent: the number of the service that wants it, -1 for the runner.
        depth: its generation: what the runner starts is the first.
        last_lines: the last lines that it printed.
        launcher: its launcher's slot, from PLACED on.
        reservation: the number of its reservation, from PLACED on.
        phase: its phase.
        signal: the signal that the runner has requested for it, 0 for none.
        start_error: why its start has failed, or "".
        children: the workers that it has started, by their numbers.
        is_parent: True once it has requested workers.
        is_over: True once it can request no more, and those that it has started are being killed.
    """

    __slots__ = (
        "children", "depth", "is_over", "is_parent", "last_lines", "launcher", "module", "number", "parent", "phase",
        "reservation", "signal", "start_error",
    )  # fmt: skip

    def __init__(self, number: int, module: str, parent: int, depth: int) -> None:
        self.number = number
        self.module = module
        self.parent = parent
        self.depth = depth
        # No deque and no set: most workers print nothing and start no others, and these are large when they are empty.
        self.last_lines: list[str] = []
        self.children: dict[int, None] = {}
        self.launcher = self.reservation = -1
        self.phase = WorkerPhase.NUMBERED
        self.signal = 0
        self.start_error = ""
        self.is_parent = self.is_over = False


class LauncherRecord:
    """
    A launcher, or the process itself for the original wire.

    Attributes:
        slot: its number.
        group: the first group that it has workers of.
        size: how many these are.
        reservation: the number of its latest reservation.
        phase: its phase.
        node: the machine that it is on, "" if it isn't known.
        waits_for: what its start waits for, as the engine has it, or "".
        workers: its workers that have not ended.
        requests: what waits for its connection, and for the end of its files.
        has_begun: True once these were sent; before that none of its workers has begun.
        end: the engine's report of its end.
        loss: why its workers are lost, with their last lines, in EXITED, DISCONNECTED, LOST and GONE.
    """

    __slots__ = (
        "end", "group", "has_begun", "loss", "node", "phase", "requests", "reservation", "size", "slot", "waits_for",
        "workers",
    )  # fmt: skip

    def __init__(self, slot: int, group: WorkerGroup, size: int) -> None:
        self.slot = slot
        self.group = group
        self.size = size
        self.reservation = -1
        self.phase = LauncherPhase.STARTING
        self.node = self.waits_for = ""
        self.workers: dict[int, WorkerRecord] = {}
        self.requests: list[Start | Kill] = []
        self.has_begun = False
        self.end: EngineReported | None = None
        self.loss: tuple[str, tuple[str, ...]] | None = None

    @property
    def was_connected(self) -> bool:
        """True once it was connected, also when it is gone again."""
        return self.phase not in (LauncherPhase.STARTING, LauncherPhase.FAILED)

    @property
    def has_connection(self) -> bool:
        """True while frames may come from it."""
        return self.phase in (LauncherPhase.RECEIVING, LauncherPhase.CONNECTED, LauncherPhase.EXITED)

    @property
    def is_waiting(self) -> bool:
        """True while it may yet be sent its first requests."""
        return not self.has_begun and (self.phase is LauncherPhase.STARTING or self.has_connection)

    @property
    def is_original(self) -> bool:
        """True for a service of the original PARCS, which has no launcher."""
        return self.group.spec.wire == "v1"

    @property
    def started(self) -> list[WorkerRecord]:
        """The workers that were requested from it, or will be when it is connected."""
        return [worker for worker in self.workers.values() if worker.phase is not WorkerPhase.PLACED]
