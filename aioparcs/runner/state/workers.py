"""The rules for workers: their placing, their failures, and their end."""

from __future__ import annotations

import signal
from collections.abc import Iterator

from aioparcs.engine import WorkerGroup
from aioparcs.errors import WorkerLost
from aioparcs.messages.launcher import ALL, Kill, Start
from aioparcs.runner.state import stimuli
from aioparcs.runner.state.deadline_table import DeadlineTable
from aioparcs.runner.state.records import LauncherPhase, LauncherRecord, WorkerPhase, WorkerRecord
from aioparcs.runner.state.reservations import Reservation, Reservations
from aioparcs.runner.state.stimuli import Action

__all__ = ["Workers"]

# The exit code of a worker that SIGTERM has ended gracefully.
_SIGTERM_EXIT = 128 + signal.SIGTERM
_UNBEGUN = "was killed before it began"
_ENDED = (LauncherPhase.LOST, LauncherPhase.GONE, LauncherPhase.FAILED)


class Workers:
    """
    The workers that have not ended, with their launchers and reservations.

    Args:
        start_timeout: seconds that a worker gets to connect.

    Attributes:
        all: the workers, by number.
        launchers: the launchers that have not ended, or have workers, by slot.
        reservations: what the engine holds for them.
        is_ending: True once all workers shall end.
        spawned: how many of them services have started, or are about to.
        starting: the deadlines of starts, by worker.
    """

    def __init__(self, start_timeout: float) -> None:
        self.all: dict[int, WorkerRecord] = {}
        self.launchers: dict[int, LauncherRecord] = {}
        self.reservations = Reservations()
        self.is_ending = False
        self.spawned = 0
        self.starting = DeadlineTable()
        self.start_timeout = start_timeout
        self._next = 0

    def number(self, module: str, count: int, parent: int = -1) -> range:
        """Return numbers for workers that are not placed yet; `GroupPlaced` or `GroupRefused` follows for them."""
        numbers = range(self._next, self._next + count)
        self._next += count
        starter = self.all.get(parent)
        depth = starter.depth + 1 if starter else 1
        for number in numbers:
            self.all[number] = WorkerRecord(number, module, parent, depth)
        self.spawned += count if parent >= 0 else 0
        if starter:
            starter.is_parent = True
            starter.children.update(dict.fromkeys(numbers))
        return numbers

    def add(self, worker: WorkerRecord, launcher: LauncherRecord, reservation: Reservation, now: float) -> None:
        """Add a worker that has its number to its launcher and its reservation."""
        worker.phase = WorkerPhase.PLACED
        worker.launcher, worker.reservation = launcher.slot, reservation.number
        launcher.workers[worker.number] = worker
        reservation.workers.add(worker.number)
        self.starting[worker.number] = now + self.start_timeout

    def send(self, launcher: LauncherRecord, request: Start | Kill) -> Iterator[Action]:
        """Send a launcher a request, now or when it is connected and has its files; the end of all is never late."""
        is_end = isinstance(request, Kill) and request.worker == ALL
        if launcher.phase is LauncherPhase.STARTING or (launcher.is_waiting and not is_end):
            launcher.requests.append(request)
        elif launcher.has_connection:
            yield stimuli.SendRequest(launcher.slot, request)

    def connect(self, launcher: LauncherRecord, now: float) -> Iterator[Action]:
        """Add a launcher's connection: it gets its workers' files first, which may take longer than their start may."""
        launcher.phase = LauncherPhase.RECEIVING
        if not launcher.group.needs_files:
            yield from self.start_waiting(launcher, now)
        elif self.is_ending:
            yield stimuli.SendRequest(launcher.slot, Kill(ALL, signal.SIGTERM))
        else:
            for number in launcher.workers:
                self.starting.pop(number, None)
            yield stimuli.SendFiles(launcher.slot, launcher.group.spec)

    def start_waiting(self, launcher: LauncherRecord, now: float) -> Iterator[Action]:
        """Send a launcher that is connected, and has the files of its workers, what has waited for that."""
        launcher.phase, launcher.has_begun = LauncherPhase.CONNECTED, True
        for worker in launcher.workers.values():
            if worker.phase in (WorkerPhase.PLACED, WorkerPhase.STARTING) and worker.number not in self.starting:
                self.starting[worker.number] = now + self.start_timeout
        yield from (stimuli.SendRequest(launcher.slot, request) for request in launcher.requests)
        launcher.requests.clear()

    def fail_start(self, worker: WorkerRecord, reason: str, last_lines: tuple[str, ...] = ()) -> Iterator[Action]:
        """Fail a worker's start, unless it is connected or has failed before."""
        if worker.phase in (WorkerPhase.PLACED, WorkerPhase.STARTING):
            worker.phase = WorkerPhase.FAILED
            worker.start_error = reason
            self.starting.pop(worker.number, None)
            yield stimuli.FailStart(worker.number, reason, last_lines)

    def kill(self, worker: WorkerRecord, number: int) -> Iterator[Action]:
        """Send a worker a signal, and end it at once if its launcher isn't connected."""
        if worker.phase in (WorkerPhase.NUMBERED, WorkerPhase.PLACED):
            return  # no launcher knows it
        if worker.signal != signal.SIGKILL:  # after that any end is the one that was requested
            worker.signal = number
        launcher = self.launchers[worker.launcher]
        if launcher.is_original:
            yield stimuli.StopGroup(launcher.group)
            return
        yield from self.send(launcher, Kill(worker.number, number))
        if launcher.is_waiting:  # that waits behind the request for the worker
            yield from self.fail_start(worker, f"it {_UNBEGUN}")
            yield from self.end(worker, WorkerLost(self.name(worker), _UNBEGUN))

    def drop(self, worker: WorkerRecord) -> Iterator[Action]:
        """End a worker that was not requested from a launcher."""
        yield from self.end(worker, None)

    def end(
        self, worker: WorkerRecord, lost: WorkerLost | None, *, cut: bool = False, results: bytes = b""
    ) -> Iterator[Action]:
        """End a worker, and all that only it needs; see `EndWorker`."""
        launcher, reservation = self.launchers[worker.launcher], self.reservations.get(worker.reservation)
        was_placed = worker.phase is WorkerPhase.PLACED
        self.remove(worker)
        # An end before it was connected is no clean one, whatever its exit code.
        error = lost.reason if lost else worker.start_error or None
        is_stopped = was_placed or (lost is not None and _is_requested(worker.signal, lost))
        yield stimuli.EndWorker(worker.number, lost, error, is_stopped, cut, results)
        yield from self.end_parent(worker)
        if reservation and not self.is_ending:  # else the engine removes everything
            yield from self.reservations.release_unused(reservation)
        yield from self.remove_launcher(launcher)

    def remove(self, worker: WorkerRecord) -> None:
        """Remove a worker from all tables."""
        del self.all[worker.number]
        self.spawned -= worker.parent >= 0
        self.starting.pop(worker.number, None)
        if launcher := self.launchers.get(worker.launcher):
            launcher.workers.pop(worker.number, None)
        if reservation := self.reservations.get(worker.reservation):
            reservation.workers.discard(worker.number)
        if parent := self.all.get(worker.parent):
            parent.children.pop(worker.number, None)

    def end_parent(self, worker: WorkerRecord) -> Iterator[Action]:
        """Kill what a service has started, and release what was made for that."""
        if worker.is_over:
            return
        worker.is_over = True
        yield stimuli.CloseSession(worker.number)
        for number in list(worker.children):
            child = self.all.get(number)
            if child and child.phase is WorkerPhase.PLACED:
                yield from self.drop(child)
            elif child:
                yield from self.kill(child, signal.SIGKILL)
                yield from self.end_parent(child)
        if worker.is_parent and not self.is_ending:
            for reservation in self.reservations.of_parent(worker.number):
                reservation.has_failed = False
                yield from self.reservations.release_unused(reservation)

    def launchers_of(self, group: WorkerGroup) -> Iterator[LauncherRecord]:
        """Yield a group's launchers that are not removed, from the last: they are mostly lost in their order."""
        slots = (placement.launcher for placement in reversed(group.placements))
        return (self.launchers[slot] for slot in slots if slot in self.launchers)

    def stop_lost(self, launcher: LauncherRecord) -> Iterator[Action]:
        """
        Stop a launcher that counts as lost though the engine knows of no end, unless others of its group go on.

        It can't serve another start. This comes before its workers are ended, so that no start which follows gets it.
        """
        others = (other for other in self.launchers_of(launcher.group) if other is not launcher)
        if not launcher.end and all(other.phase in _ENDED for other in others):
            yield stimuli.StopGroup(launcher.group)

    def remove_launcher(self, launcher: LauncherRecord) -> Iterator[Action]:
        """Remove a launcher that has ended, once all of its workers have: a runner may start others for days."""
        is_gone = launcher.phase in (LauncherPhase.GONE, LauncherPhase.FAILED)
        if is_gone and not launcher.workers and launcher.slot in self.launchers:
            del self.launchers[launcher.slot]
            yield stimuli.RemoveLauncher(launcher.slot)

    def name(self, worker: WorkerRecord) -> str:
        """Return a worker's name, ``module:number``, with its node if that is known."""
        node = self.launchers[worker.launcher].node
        return f"{worker.module}:{worker.number} on {node}" if node else f"{worker.module}:{worker.number}"


def _is_requested(requested: int, lost: WorkerLost) -> bool:
    """Return whether a worker's end is the one that the runner has requested by a signal, not a failure."""
    if requested == signal.SIGKILL:  # the worker may have seen the end of its channel first, and left by itself
        return True
    return requested != 0 and bool(lost.signal or lost.exitcode == _SIGTERM_EXIT)
