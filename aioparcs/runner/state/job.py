"""The state machine of a job's workers and launchers."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence

from aioparcs import deadlines
from aioparcs.engine import Placement, WorkerGroup
from aioparcs.errors import WorkerLost
from aioparcs.messages.launcher import ALL, Exited, Kill, Log, Progress, Start
from aioparcs.runner.state import stimuli
from aioparcs.runner.state.deadline_table import DeadlineTable
from aioparcs.runner.state.records import LONGEST_LINE, LauncherPhase, LauncherRecord, WorkerPhase, WorkerRecord
from aioparcs.runner.state.reservations import Reservation
from aioparcs.runner.state.stimuli import Action, EngineReported, Stimulus
from aioparcs.runner.state.unstarted import why_ended, why_late
from aioparcs.runner.state.waits import StartWaits
from aioparcs.runner.state.workers import Workers

__all__ = ["JobState"]


class JobState:
    """
    The workers and launchers of a job.

    Args:
        start_timeout: seconds that a worker gets to connect.
        last_lines: how many of a worker's last lines are kept.

    Attributes:
        workers: the workers that have not ended, by number.
        launchers: the launchers that have not ended, or have workers, by slot.
        reservations: what the engine holds for them.
    """

    def __init__(self, start_timeout: float, last_lines: int) -> None:
        self._workers = Workers(start_timeout)
        self.workers = self._workers.all
        self.launchers = self._workers.launchers
        self.reservations = self._workers.reservations
        self._last_lines = last_lines
        self._waits = StartWaits()
        self._unexplained = DeadlineTable()  # for the engine's word on a connection's end, by launcher

    @property
    def is_ending(self) -> bool:
        """True once all workers shall end."""
        return self._workers.is_ending

    def number(self, module: str, count: int, parent: int = -1) -> range:
        """Return numbers for workers that are not placed yet; `GroupPlaced` or `GroupRefused` follows for them."""
        return self._workers.number(module, count, parent)

    def retain(self, worker: int) -> int | None:
        """Retain a worker's reservation until `ReservationReleased`; return its number, None if the worker is gone."""
        record = self.workers.get(worker)
        reservation = self.reservations.get(record.reservation) if record else None
        if reservation is None:
            return None
        reservation.is_retained = True
        return reservation.number

    def can_replace(self, launcher: int, reservation: int | None) -> bool:
        """Return whether a launcher can start a worker in place of one of its own that is gone."""
        record = self.launchers.get(launcher)
        is_up = record is not None and record.phase is LauncherPhase.CONNECTED
        return is_up and self.reservations.get(reservation) is not None and not self.is_ending

    @property
    def spawned(self) -> int:
        """The number of workers that services have started, or are about to."""
        return self._workers.spawned

    @property
    def next_deadline(self) -> float | None:
        """The time of the next `DeadlineReached`, None for none."""
        tables = self._workers.starting, self._unexplained
        deadlines = [table.earliest for table in tables if table]
        if self._workers.starting:
            deadlines.append(self._waits.due)
        return min(deadlines, default=None)

    def unconnected_groups(self) -> list[WorkerGroup]:
        """Return the groups none of whose launchers was ever connected."""
        groups = {launcher.group.first: launcher.group for launcher in self.launchers.values()}
        return [group for group in groups.values() if not self._was_connected(group)]

    def handle(self, stimulus: Stimulus, now: float) -> list[Action]:
        """Change the state by what has happened, and return what is to be done."""
        return list(self._handle(stimulus, now))

    def _handle(self, stimulus: Stimulus, now: float) -> Iterator[Action]:
        match stimulus:
            case stimuli.GroupPlaced(group):
                return self._place(group, now)
            case stimuli.GroupRefused(numbers):
                return self._refuse(numbers)
            case stimuli.StartRequested(group, parent):
                return self._start(group, parent)
            case stimuli.ReplacementPlaced():
                return self._replace(stimulus, now)
            case stimuli.ReservationReleased(number):
                return self._unretain(self.reservations.get(number))
            case stimuli.DeadlineReached():
                return self._on_deadline(now)
            case stimuli.JobEnding():
                return self._end_job()
            case stimuli.EngineReported(state):
                return self._on_launcher(self.launchers.get(state.launcher), stimulus, now)
            case (
                stimuli.LauncherConnected(slot)
                | stimuli.FilesSent(slot)
                | stimuli.LauncherReported(slot)
                | stimuli.ConnectionEnded(slot)
                | stimuli.LauncherUnreachable(slot)
                | stimuli.LauncherFailed(slot)
            ):
                return self._on_launcher(self.launchers.get(slot), stimulus, now)
            case (
                stimuli.WorkerConnected(number)
                | stimuli.StartFailed(number)
                | stimuli.KillRequested(number)
                | stimuli.ParentEnded(number)
            ):
                return self._on_worker(self.workers.get(number), stimulus)

    # Placing

    def _place(self, group: WorkerGroup, now: float) -> Iterator[Action]:
        if not self._workers.starting:
            self._waits.begin(now)
        reservation = self.reservations.add(group)
        is_new = any(placement.launcher not in self.launchers for placement in group.placements)
        for placement in group.placements:
            if placement.launcher not in self.launchers:
                self.launchers[placement.launcher] = LauncherRecord(placement.launcher, group, placement.size)
            launcher = self.launchers[placement.launcher]
            launcher.reservation = reservation.number
            for number in _numbers(placement):
                self._workers.add(self.workers[number], launcher, reservation, now)
        if is_new:
            yield stimuli.WatchGroup(group)
        parent = self.workers.get(group.spec.parent)
        if group.spec.parent >= 0 and (parent is None or parent.is_over):
            for number in range(group.first, group.first + group.size):
                yield from self._workers.drop(self.workers[number])

    def _refuse(self, numbers: range) -> Iterator[Action]:
        for number in numbers:
            self._workers.remove(self.workers[number])
        yield from ()

    def _start(self, group: WorkerGroup, parent: str | None) -> Iterator[Action]:
        for placement in group.placements:
            workers = [self.workers[number] for number in _numbers(placement) if number in self.workers]
            if workers:  # else they were dropped meanwhile, all of them
                start = Start(placement.first, placement.size, group.first, group.size, dict(placement.limits), parent)
                yield from self._request(self.launchers[placement.launcher], start, workers)

    def _replace(self, placed: stimuli.ReplacementPlaced, now: float) -> Iterator[Action]:
        worker, launcher = self.workers[placed.worker], self.launchers[placed.launcher]
        reservation = self.reservations.get(placed.reservation)
        assert reservation  # see `can_replace`
        if not self._workers.starting:
            self._waits.begin(now)
        self._workers.add(worker, launcher, reservation, now)
        limits = next(dict(one.limits) for one in reservation.group.placements if one.launcher == launcher.slot)
        start = Start(worker.number, 1, worker.number - placed.rank, placed.size, limits)
        yield from self._request(launcher, start, [worker])

    def _request(self, launcher: LauncherRecord, start: Start, workers: Sequence[WorkerRecord]) -> Iterator[Action]:
        for worker in workers:
            if worker.phase is WorkerPhase.PLACED:
                worker.phase = WorkerPhase.STARTING
        if launcher.node:  # that of the launcher's other workers, which have been reported
            yield stimuli.SetNode(workers[0].module, [worker.number for worker in workers], launcher.node)
        if not launcher.is_original:
            yield from self._workers.send(launcher, start)
        if launcher.phase in (LauncherPhase.LOST, LauncherPhase.GONE, LauncherPhase.FAILED):
            yield from self._lose_workers(launcher)  # it ended while the service that wants them was being informed

    # Workers

    def _on_worker(self, worker: WorkerRecord | None, stimulus: Stimulus) -> Iterator[Action]:
        match stimulus:
            case _ if worker is None:
                pass  # it has ended
            case stimuli.WorkerConnected() if worker.phase is WorkerPhase.STARTING:
                worker.phase = WorkerPhase.CONNECTED
                self._workers.starting.pop(worker.number, None)
                yield stimuli.ReportConnected(worker.module, worker.number)
            case stimuli.StartFailed(reason=reason) if worker.phase is WorkerPhase.STARTING:
                yield from self._workers.fail_start(worker, reason)
            case stimuli.KillRequested(signal=number):
                yield from self._workers.kill(worker, number)
            case stimuli.ParentEnded():
                yield from self._workers.end_parent(worker)

    def _unretain(self, reservation: Reservation | None) -> Iterator[Action]:
        if reservation and not self.is_ending:
            reservation.is_retained = False
            yield from self.reservations.release_unused(reservation)

    def _end_job(self) -> Iterator[Action]:
        self._workers.is_ending = True
        for worker in self.workers.values():
            worker.signal = worker.signal or signal.SIGTERM
        for launcher in self.launchers.values():
            yield from self._workers.send(launcher, Kill(ALL, signal.SIGTERM))

    # Launchers

    def _on_launcher(self, launcher: LauncherRecord | None, stimulus: Stimulus, now: float) -> Iterator[Action]:
        match stimulus:
            case _ if launcher is None:
                pass  # it was removed
            case stimuli.LauncherConnected() if launcher.phase is LauncherPhase.STARTING:
                yield from self._workers.connect(launcher, now)
            case stimuli.FilesSent() if launcher.phase is LauncherPhase.RECEIVING and not self.is_ending:
                yield from self._workers.start_waiting(launcher, now)
            case stimuli.LauncherReported(report=report) if launcher.has_connection:
                yield from self._on_report(launcher, report)
            case stimuli.ConnectionEnded(reason=reason):
                yield from self._on_connection_ended(launcher, reason, now)
            case stimuli.LauncherUnreachable(reason=reason) if launcher.has_connection:
                launcher.loss = reason, ()
                yield from self._workers.stop_lost(launcher)
                yield from self._lose(launcher)
            case stimuli.LauncherFailed():
                if reservation := self.reservations.get(launcher.reservation):
                    reservation.has_failed = True
            case stimuli.EngineReported():
                yield from self._on_engine(launcher, stimulus)

    def _on_report(self, launcher: LauncherRecord, report: Exited | Log | Progress) -> Iterator[Action]:
        if isinstance(report, Log):
            for line in report.lines:
                if worker := launcher.workers.get(line.worker):
                    worker.last_lines.append(line.text[:LONGEST_LINE])
                    del worker.last_lines[: -self._last_lines]
            yield stimuli.ShowLog(launcher.group.spec.module, report)
            return
        worker = launcher.workers.get(report.worker)
        if worker is None or worker.phase is WorkerPhase.PLACED or launcher.is_waiting:
            return  # it counts as lost already, or is none of this launcher's
        if isinstance(report, Progress):
            yield stimuli.ShowProgress(worker.module, report)
        else:
            yield from self._on_exited(worker, report)

    def _on_exited(self, worker: WorkerRecord, exited: Exited) -> Iterator[Action]:
        last = exited.lines[-self._last_lines - 1 :]  # a reason may follow them
        lines, name = tuple(line[:LONGEST_LINE] for line in last), self._workers.name(worker)
        if exited.code is None:  # there never was a process
            reason = lines[0] if lines else "its launcher gave no reason"
            yield from self._workers.fail_start(worker, reason)
            yield from self._workers.end(worker, WorkerLost(name, reason), results=exited.results)
            return
        lost = WorkerLost.from_exit(name, exited.code, lines)
        yield from self._workers.fail_start(worker, f"it {lost.reason} before it was connected", lines)
        yield from self._workers.end(worker, lost if exited.code else None, results=exited.results)

    def _on_connection_ended(self, launcher: LauncherRecord, reason: str, now: float) -> Iterator[Action]:
        if launcher.has_connection and launcher.phase is not LauncherPhase.EXITED and launcher.started:
            launcher.phase = LauncherPhase.DISCONNECTED
            launcher.loss = f"is lost with its launcher: {reason}", ()
            self._unexplained[launcher.slot] = now + deadlines.ENGINE_EXPLANATION
            yield stimuli.CheckEngine()
        elif launcher.has_connection:
            launcher.loss = launcher.loss or (f"is lost with its launcher: {reason}", ())
            yield from self._lose(launcher)

    def _on_engine(self, launcher: LauncherRecord, report: EngineReported) -> Iterator[Action]:
        state = report.state
        if launcher.end:
            return  # its last word: what follows is old, or the same end again
        if state.state not in ("failed", "gone"):
            launcher.waits_for = state.reason
            if state.node and state.node != launcher.node:
                launcher.node = state.node
                if numbers := sorted(worker.number for worker in launcher.started):
                    yield stimuli.SetNode(launcher.group.spec.module, numbers, state.node)
            return
        launcher.end = report
        if launcher.phase is LauncherPhase.STARTING:
            launcher.phase = LauncherPhase.FAILED
            yield from self._lose_workers(launcher)
            yield from self._workers.remove_launcher(launcher)
        elif launcher.phase is LauncherPhase.LOST:
            launcher.phase = LauncherPhase.GONE
            yield from self._workers.remove_launcher(launcher)
        else:
            launcher.loss = f"is lost: its launcher {state.reason}", report.last_lines
            if launcher.phase is LauncherPhase.DISCONNECTED:
                yield from self._lose(launcher)
            else:
                launcher.phase = LauncherPhase.EXITED

    def _lose(self, launcher: LauncherRecord) -> Iterator[Action]:
        launcher.phase = LauncherPhase.GONE if launcher.end else LauncherPhase.LOST
        self._unexplained.pop(launcher.slot, None)
        yield from self._lose_workers(launcher)
        yield stimuli.DisconnectLauncher(launcher.slot)
        yield from self._workers.remove_launcher(launcher)

    def _lose_workers(self, launcher: LauncherRecord) -> Iterator[Action]:
        for worker in launcher.started:
            if launcher.phase is LauncherPhase.FAILED:
                yield from self._end_unserved(launcher, worker)
            else:
                reason, lines = launcher.loss or ("is lost", ())
                lost = WorkerLost(self._workers.name(worker), reason, last_lines=tuple(worker.last_lines) or lines)
                yield from self._workers.fail_start(worker, f"it {reason}", lines)
                yield from self._workers.end(worker, lost, cut=True)

    def _end_unserved(self, launcher: LauncherRecord, worker: WorkerRecord) -> Iterator[Action]:
        """End a worker whose launcher, or whose process on the original wire, has ended without a connection."""
        assert launcher.end
        state, lines = launcher.end
        reason, code, name = state.reason, state.exitcode, self._workers.name(worker)
        yield from self._workers.fail_start(worker, why_ended(launcher), lines)
        if code is None:
            yield from self._workers.end(worker, WorkerLost(name, reason, last_lines=lines), cut=True)
        else:
            yield from self._workers.end(worker, WorkerLost.from_exit(name, code, lines) if code else None)

    # Deadlines

    def _on_deadline(self, now: float) -> Iterator[Action]:
        groups: dict[int, WorkerGroup] = {}
        for number in self._workers.starting.overdue(now):
            if number in self._workers.starting:  # it was not ended with another
                worker = self.workers[number]
                if reservation := self.reservations.get(worker.reservation):
                    groups[reservation.number] = reservation.group
                yield from self._expire(worker)
        yield from (stimuli.StopGroup(group) for group in groups.values() if not self._was_connected(group))
        for slot in self._unexplained.overdue(now):
            yield from self._workers.stop_lost(self.launchers[slot])
            yield from self._lose(self.launchers[slot])
        starting = (self.workers[number] for number in self._workers.starting)
        yield from self._waits.poll(((worker.module, self.launchers[worker.launcher]) for worker in starting), now)

    def _expire(self, worker: WorkerRecord) -> Iterator[Action]:
        was_placed = worker.phase is WorkerPhase.PLACED
        launcher = self.launchers[worker.launcher]
        hint = why_late(launcher)
        time = f"{self._workers.start_timeout:g} s (PARCS_START_TIMEOUT)"
        yield from self._workers.fail_start(worker, f"it was not connected within {time}: {hint}")
        yield from self._workers.drop(worker) if was_placed else self._workers.kill(worker, signal.SIGKILL)

    def _was_connected(self, group: WorkerGroup) -> bool:
        return any(launcher.was_connected for launcher in self._workers.launchers_of(group))


def _numbers(placement: Placement) -> range:
    return range(placement.first, placement.first + placement.size)
