"""The supervisor of a job's workers: it places, watches and ends them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from time import monotonic
from typing import Any

from aioparcs.address import Address
from aioparcs.channel import Channel, introduce_v1
from aioparcs.engine import Engine, WorkerGroup, WorkerSpec
from aioparcs.errors import ConnectionLost, HandshakeError, ParcsError, StartError
from aioparcs.events import EventBus, Notice, WorkerConnected, WorkersRequested, WorkerStopped
from aioparcs.runner.launcher_client import LauncherClient, Worker
from aioparcs.runner.registry import JobRegistry
from aioparcs.runner.reservation import EngineRequest, EngineRequests, Reservation
from aioparcs.settings import Settings
from aioparcs.task import WorkerHandle, check_file_limit, finish_all
from aioparcs.transport import dial, raise_file_limit

__all__ = ["WorkerSupervisor"]

# Groups of launchers that stay after they have failed: more would make each look at the Swarm's tasks longer.
_FAILED_KEPT = 16


class WorkerSupervisor:
    """
    All workers of one job, from the request to their end.

    Args:
        engine: runs their launchers.
        registry: accepts their connections.
        settings: limits and deadlines.
        events: gets the job's events.

    Attributes:
        on_end: called with the number of each worker that has ended.
    """

    def __init__(self, engine: Engine, registry: JobRegistry, settings: Settings, events: EventBus) -> None:
        self._engine = engine
        self._registry = registry
        self._settings = settings
        self._events = events
        self.on_end: Callable[[int], object] = lambda worker: None
        self._next_worker = 0
        self._is_open = self._goes_on = False
        self._supervised: set[int] = set()
        self._groups: dict[int, WorkerGroup] = {}  # the first of each launcher
        self._holds: dict[int, Reservation] = {}  # the latest of each launcher
        self._failed: dict[Reservation, None] = {}  # those that are kept for having failed, the oldest first
        self._jobs: set[asyncio.Task[None]] = set()
        self._requests = EngineRequests()

    def open(self) -> None:
        """Allow workers to be started."""
        raise_file_limit()
        self._is_open = self._goes_on = True

    async def finish(self) -> None:
        """Wait for all workers to finish, for ``close_timeout`` seconds at most."""
        self._is_open = False
        await finish_all((task for task in self._registry.tasks.values() if task.is_connected), self._note)

    async def end(self) -> None:
        """End what still runs, and read its last lines."""
        self._is_open = self._goes_on = False
        await asyncio.gather(*(launcher.end(self._settings.close_timeout) for launcher in self._launchers()))

    async def aclose(self) -> None:
        """Release everything, however the job ended."""
        for request in self._requests.all():
            request.timer.cancel()
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        # Launchers that have not connected would find no runner; a cancelled start may have left one without workers.
        groups = {group.first: group for group in self._groups.values() if not self._is_connected(group)}
        await asyncio.gather(*map(self._stop, groups.values()))
        await asyncio.gather(*(launcher.aclose() for launcher in self._launchers()))
        await asyncio.gather(*(task.detach() for task in self._registry.tasks.values()))

    # Placing

    async def place(self, spec: WorkerSpec, count: int) -> list[WorkerHandle]:
        """
        Place workers; return before they are connected.

        Raises:
            StartError: it is certain that they can't run.
        """
        if not self._is_open:
            raise RuntimeError("workers are started inside the runner's block: async with Runner() as runner")
        check_file_limit(spec.module, self._registry.connections + count)
        first = self.reserve(count)
        tasks = [WorkerHandle(spec.module, first + i, i, count, self._settings, self.kill) for i in range(count)]
        self._registry.expect(tasks)
        try:
            group = await self.begin(spec, tasks)
        except BaseException:
            self._registry.forget(tasks)
            raise
        if spec.wire == "v1":
            self._adopt(group, tasks[0])
        else:
            self.ask(group, tasks)
        return tasks

    def reserve(self, count: int) -> int:
        """Reserve numbers for workers, and return the first."""
        first, self._next_worker = self._next_worker, self._next_worker + count
        return first

    async def begin(self, spec: WorkerSpec, workers: Sequence[Worker]) -> WorkerGroup:
        """
        Place workers that have their numbers, through the engine; `ask` then starts them.

        Raises:
            StartError: it is certain that they can't run.
        """
        first, count = workers[0].worker, len(workers)
        group = await self._engine.start(spec, first, count)
        if not self._goes_on:  # any more
            await self._engine.stop(group)
            raise StartError(spec.module, "its runner has ended")
        self._events.publish(WorkersRequested(monotonic(), spec.module, range(first, first + count)))
        hold = Reservation(group)
        for placement in group.placements:
            self._holds[placement.launcher] = hold
            if placement.launcher not in self._registry.launchers:
                self._groups[placement.launcher] = group
                self._registry.launchers[placement.launcher] = LauncherClient(
                    spec.module, placement.launcher, self._settings, self._events, self._engine.poll_now, self._ended
                )
        self._remember(group, hold, workers)
        self._supervise(group)
        return group

    def _remember(self, group: WorkerGroup, hold: Reservation, workers: Sequence[Worker]) -> None:
        """Record a request until all its workers have ended, and start the timer of its deadline."""
        hold.workers += len(workers)
        timer = asyncio.get_running_loop().call_later(self._settings.start_timeout, self._expire, group, workers)
        request = EngineRequest(group, hold, {worker.worker for worker in workers}, timer)
        self._requests.add(request)

    def ask(self, group: WorkerGroup, workers: Sequence[Worker], parent: Address | None = None) -> None:
        """
        Ask the group's launchers for its workers.

        Args:
            group: the result of `begin`.
            workers: all of its workers.
            parent: where the service that wants them listens, None for the runner.
        """
        address = str(parent) if parent else None
        for launcher, first, size, limits in group.placements:
            some = workers[first - group.first :][:size]
            self._registry.launchers[launcher].start(some, group.first, group.size, dict(limits), address)

    async def replace(self, spec: WorkerSpec, task: WorkerHandle, hold: Reservation | None) -> WorkerHandle:
        """
        Place a worker in place of one that is gone: by the same launcher, if that is still there.

        Args:
            spec: the new worker's specification.
            task: the one that is gone.
            hold: that worker's reservation, if it was kept.

        Raises:
            StartError: it is certain that it can't run.
        """
        launcher = self._registry.launchers.get(task.launcher)
        if hold is None or launcher is None or not launcher.is_up or not self._is_open:
            return (await self.place(spec, 1))[0]
        number = self.reserve(1)
        successor = WorkerHandle(spec.module, number, task.rank, task.size, self._settings, self.kill)
        placement = next(one for one in hold.group.placements if one.launcher == task.launcher)
        self._registry.expect([successor])
        self._events.publish(WorkersRequested(monotonic(), spec.module, range(number, number + 1)))
        self._remember(WorkerGroup(spec, number, 1, (placement._replace(first=number, size=1),)), hold, [successor])
        launcher.start([successor], number - task.rank, task.size, dict(placement.limits))
        return successor

    def keep(self, task: WorkerHandle) -> Reservation | None:
        """Keep a worker's reservation for `replace` until `let_go`, and return it; None if the worker is gone."""
        request = self._requests.get(task.worker)
        if request is None:
            return None
        request.hold.is_kept = True
        return request.hold

    def let_go(self, hold: Reservation) -> None:
        """Keep a reservation no longer; release it once it has no workers."""
        hold.is_kept = False
        self._let_go(hold)

    def forget(self, parent: int) -> None:
        """Release all that was made for a worker's own starts, now that it starts nothing more."""
        for hold in {hold for hold in self._holds.values() if hold.group.spec.parent == parent}:
            hold.has_failed = False
            self._let_go(hold)

    def drop(self, group: WorkerGroup, workers: Sequence[Worker]) -> None:
        """Drop workers that no launcher was asked for."""
        for worker in workers:
            worker.end(None)
            self._events.publish(WorkerStopped(monotonic(), worker.module, worker.worker))
            self._ended(worker.worker)

    def _adopt(self, group: WorkerGroup, task: WorkerHandle) -> None:
        slot = group.placements[0].launcher
        self._registry.launchers[slot].adopt(task, stop=lambda: self.own(self._stop(group)))
        dialling = self.own(self._dial_v1(task, slot))
        task.on_start_done(lambda _: dialling.cancel())  # it may have ended before it answered

    async def _dial_v1(self, task: WorkerHandle, launcher: int) -> None:
        try:
            address = await self._engine.address(launcher)
            reader, writer = await dial(address, timeout=self._settings.start_timeout)
            try:
                await introduce_v1(reader, writer, self._settings.handshake_timeout)
            except BaseException:
                writer.transport.abort()
                raise
        except (ConnectionLost, HandshakeError) as error:
            task.fail_start(str(error))
            return
        except StartError as error:
            task.fail_start(error.reason)
            return
        task.connect(Channel(reader, writer, settings=self._settings, version=1))
        self._events.publish(WorkerConnected(monotonic(), task.module, task.worker))

    # Supervising

    def _launchers(self) -> list[LauncherClient]:
        return list(self._registry.launchers.values())

    def _ended(self, worker: int) -> None:
        """Record that a worker has ended, and release its reservation when it was the last one."""
        request = self._requests.end(worker)
        if request:
            request.hold.workers -= 1
            self._let_go(request.hold)
            if not request.left:
                request.timer.cancel()
                for placement in request.group.placements:
                    self._forget_launcher(placement.launcher)
        self.on_end(worker)

    def _let_go(self, hold: Reservation) -> None:
        """
        Release a reservation that is not in use any more; when the job ends, the engine removes everything.

        The latest launchers that have failed stay until then, for users who inspect them from outside.
        """
        if hold.workers or hold.is_kept or not self._goes_on:
            return
        if hold.has_failed:
            self._failed.setdefault(hold)
            if len(self._failed) > _FAILED_KEPT:
                oldest = next(iter(self._failed))
                oldest.has_failed = False
                self._let_go(oldest)
        else:
            self._failed.pop(hold, None)
            for placement in hold.group.placements:
                if self._holds.get(placement.launcher) is hold:
                    del self._holds[placement.launcher]
            self.own(self._release(hold.group))

    def _forget_launcher(self, slot: int) -> None:
        """Forget a launcher that is gone, once all of its workers are: a runner may start others for days."""
        launcher = self._registry.launchers.get(slot)
        if launcher and launcher.is_gone and slot in self._supervised and not self._requests.need(slot):
            self._supervised.discard(slot)
            self.own(self._bury(launcher))

    async def _bury(self, launcher: LauncherClient) -> None:
        await launcher.end(self._settings.close_timeout)
        del self._registry.launchers[launcher.slot], self._groups[launcher.slot]

    async def _release(self, group: WorkerGroup) -> None:
        try:
            await self._engine.release(group)
        except ParcsError as error:
            self._warn(group.spec.module, f"stays until the job ends: {error}")

    def _note(self, module: str, text: str) -> None:
        self._events.publish(Notice(monotonic(), module, text))

    def _warn(self, module: str, text: str) -> None:
        self._events.publish(Notice(monotonic(), module, text, is_warning=True))

    def _is_connected(self, group: WorkerGroup) -> bool:
        launchers = (self._registry.launchers.get(placement.launcher) for placement in group.placements)
        return any(launcher.is_connected for launcher in launchers if launcher)

    def own(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine beside the user's program until it ends, or the job does; return its task."""
        task = asyncio.ensure_future(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        return task

    async def _stop(self, group: WorkerGroup) -> None:
        """Stop a group through the engine; a failure is reported, and stopping is tried again when the job ends."""
        try:
            await self._engine.stop(group)
        except ParcsError as error:
            self._warn(group.spec.module, f"can't be stopped now: {error}")

    def _supervise(self, group: WorkerGroup) -> None:
        """Start watching those of the group's launchers that are not watched yet."""
        new = {placement.launcher for placement in group.placements} - self._supervised
        if new:
            self._supervised |= new
            self.own(self._hear_engine(group))

    async def _hear_engine(self, group: WorkerGroup) -> None:
        async for state in self._engine.states(group):
            launcher = self._registry.launchers.get(state.launcher)
            if launcher is None:
                continue  # it was gone before, and forgotten
            if state.state in ("failed", "gone"):
                if (state.state == "failed" or state.exitcode) and (hold := self._holds.get(state.launcher)):
                    hold.has_failed = True
                launcher.gone(state, await self._engine.post_mortem(state.launcher))
                self._forget_launcher(state.launcher)
            else:
                launcher.hear(state)

    def _expire(self, group: WorkerGroup, tasks: Sequence[Worker]) -> None:
        """Fail the start of the workers that did not connect in time, and kill them."""
        for task in tasks:
            if not task.is_connected and task.start_error is None:
                launcher = self._registry.launchers.get(task.launcher)
                waits_for = launcher.waits_for if launcher else ""
                task.fail_start(
                    f"it was not connected within {self._settings.start_timeout:g} s (PARCS_START_TIMEOUT): "
                    f"{waits_for or 'does its main.py call serve(...)?'}"
                )
                self.kill(task, signal.SIGKILL)
        if not self._is_connected(group) and not any(task.is_connected for task in tasks):
            self.own(self._stop(group))

    def kill(self, task: Worker, number: int) -> None:
        """Ask a worker's launcher to end it by a signal."""
        launcher = self._registry.launchers.get(task.launcher)
        if launcher and task.worker in launcher.tasks:
            launcher.kill(task.worker, number)
