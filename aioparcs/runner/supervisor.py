"""The supervisor of a job's workers: it places, watches and ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, TypeVarTuple

from aioparcs.background import BackgroundTasks, report_unexpected
from aioparcs.channel import Channel
from aioparcs.engine import Engine, WorkerGroup, WorkerSpec
from aioparcs.errors import ParcsError, ProtocolError, StartError
from aioparcs.events import EventBus, Notice, WorkerExited, WorkersRequested, WorkerStopped
from aioparcs.messages.launcher import FilesTaken, Kept, Log, StackRead, Started, Usage
from aioparcs.qualname import START_FOLDER
from aioparcs.runner.deadline_timer import DeadlineTimer
from aioparcs.runner.launchers import FileSender, LauncherClient
from aioparcs.runner.registry import JobRegistry
from aioparcs.runner.reports import report
from aioparcs.runner.state import JobState, stimuli
from aioparcs.runner.state.stimuli import Action, Stimulus
from aioparcs.settings import Settings
from aioparcs.shared import KeptMemory
from aioparcs.task import WorkerHandle, finish_all
from aioparcs.transport import raise_file_limit

if TYPE_CHECKING:
    from aioparcs.runner.spawned import SpawnedWorker

__all__ = ["WorkerSupervisor"]

_Ts = TypeVarTuple("_Ts")


class WorkerSupervisor:
    """
    All workers of one job, from the request to their end: it carries out what the job's state decides.

    Args:
        engine: runs their launchers.
        registry: their connections.
        state: the job's state.
        settings: limits and deadlines.
        events: gets the job's events.
    """

    def __init__(
        self, engine: Engine, registry: JobRegistry, state: JobState, settings: Settings, events: EventBus
    ) -> None:
        self._engine = engine
        self._registry = registry
        self._state = state
        self._settings = settings
        self._events = events
        self._is_open = False
        self._is_closed = False
        self._timer = DeadlineTimer(partial(self.handle, stimuli.DeadlineReached()))
        self._background = BackgroundTasks()
        self._files = FileSender(Path(START_FOLDER), settings.start_timeout)
        self._serving: dict[LauncherClient, asyncio.Task[None]] = {}

    async def open(self) -> None:
        """Allow workers to be started; `aclose` follows, also when this is cancelled."""
        raise_file_limit()
        await self._background.open()
        self._is_open = True

    async def finish(self) -> None:
        """Wait for all workers to finish, for ``close_timeout`` seconds at most."""
        self._is_open = False
        await finish_all((task for task in self._registry.tasks.values() if task.is_connected), self._note)

    async def end(self) -> None:
        """End what still runs, and read its last lines; have the engine stop the launchers that don't report them."""
        self._is_open = False
        self.handle(stimuli.JobEnding())
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.close_timeout):
                await asyncio.gather(*(client.wait_served(serving) for client, serving in self._serving.items()))
        silent = {client.slot for client, serving in self._serving.items() if not serving.done()}
        records = [record for slot, record in self._state.launchers.items() if slot in silent]
        # Beside their farewell, and before the engine waits for their end: a stopped process makes neither.
        groups = {record.group.first: record.group for record in records}.values()
        await asyncio.gather(*map(self._stop, groups), *map(self._close, list(self._serving)))

    async def aclose(self) -> None:
        """Release everything, however the job ended; no more connections come in."""
        self._is_closed = True
        await self._background.aclose()
        # Launchers that have not connected would find no runner; a cancelled start may have left one without workers.
        await asyncio.gather(*map(self._stop, self._state.unconnected_groups()))
        await asyncio.gather(*map(self._close, list(self._serving)))
        await asyncio.gather(*(task.detach() for task in self._registry.tasks.values()))
        self._timer.set(None)

    # Placing

    async def place(self, spec: WorkerSpec, count: int) -> list[WorkerHandle]:
        """
        Place workers; return before they are connected.

        Raises:
            StartError: it is certain that they can't run.
        """
        if not self._is_open:
            raise RuntimeError("workers are started inside the runner's block: async with Runner() as runner")
        self._registry.check_file_limit(spec.module, count)
        numbers = self._state.number(spec.module, count)
        tasks = [
            WorkerHandle(spec.module, number, rank, count, self._settings, self) for rank, number in enumerate(numbers)
        ]
        self._registry.expect(tasks)
        try:
            group = await self.begin(spec, tasks)
        except BaseException:
            self._registry.remove(tasks)
            raise
        for placement in group.placements:
            for task in tasks[placement.first - group.first :][: placement.size]:
                task.launcher = placement.launcher
        self.handle(stimuli.StartRequested(group, None))
        if spec.wire == "v1":
            from aioparcs.runner.original import dial_v1  # few programs have such services

            dialling = self.own(dial_v1, self._engine, self._settings, tasks[0], self.handle)
            tasks[0].on_start_done(lambda _: dialling.cancel())  # it may have ended before it answered
        return tasks

    async def begin(self, spec: WorkerSpec, workers: Sequence[WorkerHandle | SpawnedWorker]) -> WorkerGroup:
        """
        Place workers that have their numbers, through the engine; a `StartRequested` then starts them.

        Raises:
            StartError: it is certain that they can't run.
        """
        first, count = workers[0].worker, len(workers)
        numbers = range(first, first + count)
        try:
            files = await self._files.check(spec)
            group = await self._engine.start(spec, first, count)
            if self._state.is_ending:  # by now
                await self._engine.stop(group)
                raise StartError(spec.module, "its runner has ended")
        except BaseException:
            self.handle(stimuli.GroupRefused(numbers))
            raise
        self._registry.workers.update(zip(numbers, workers, strict=True))
        parent = spec.parent if spec.parent >= 0 else None
        self._events.publish(WorkersRequested(monotonic(), spec.module, numbers, parent))
        if group.needs_files:
            count = len(group.placements)
            self._note(spec.module, f"sends {files} to {count} container{'s' * (count > 1)}")
        self.handle(stimuli.GroupPlaced(group))
        return group

    async def replace(self, spec: WorkerSpec, task: WorkerHandle, reservation: int | None) -> WorkerHandle:
        """
        Place a worker in place of one that is gone: by the same launcher, if that is still there.

        Args:
            spec: the new worker's specification.
            task: the one that is gone.
            reservation: that worker's reservation, if it was retained.

        Raises:
            StartError: it is certain that it can't run.
        """
        if reservation is None or not self._is_open or not self._state.can_replace(task.launcher, reservation):
            return (await self.place(spec, 1))[0]
        numbers = self._state.number(spec.module, 1)
        number = numbers.start
        successor = WorkerHandle(spec.module, number, task.rank, task.size, self._settings, self)
        successor.launcher = task.launcher
        self._registry.expect([successor])
        self._registry.workers[number] = successor
        self._events.publish(WorkersRequested(monotonic(), spec.module, numbers))
        self.handle(stimuli.ReplacementPlaced(number, task.launcher, task.rank, task.size, reservation))
        return successor

    def kill(self, task: WorkerHandle, number: int) -> None:
        """Ask a worker's launcher to end it by a signal."""
        self.handle(stimuli.KillRequested(task.worker, number))

    def can_keep(self, task: WorkerHandle) -> bool:
        """Return whether a worker's launcher keeps memory for its workers."""
        client = self._registry.launchers.get(task.launcher)
        return client is not None and client.memories.can_keep

    async def keep(self, task: WorkerHandle, views: Sequence[memoryview]) -> KeptMemory | None:
        """Send copies of buffers to a worker's launcher; see `KeptMemories.keep`."""
        client = self._registry.launchers.get(task.launcher)
        return await client.memories.keep(views) if client else None

    # Launchers

    def connect_launcher(self, client: LauncherClient) -> None:
        """Serve the control connection of a launcher until it ends."""
        self._registry.launchers[client.slot] = client
        self._serving[client] = self.own(self._serve, client)
        self.handle(stimuli.LauncherConnected(client.slot))

    def connect_worker(self, number: int, channel: Channel) -> None:
        """Add the channel of one of the runner's own workers."""
        if self._registry.tasks[number].connect(channel):
            self.handle(stimuli.WorkerConnected(number))
        else:
            channel.abort()  # it was given up during its handshake

    async def _serve(self, client: LauncherClient) -> None:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(client.watch_liveness())
            end = await self._listen(client)
            watching.cancel()
        self._registry.stacks.lose(client.slot)
        self.handle(end)

    async def _listen(self, client: LauncherClient) -> Stimulus:
        """Handle a launcher's reports until its connection ends; return how that ended."""
        lost = "is lost with its launcher"
        try:
            while True:
                message = await client.recv()
                if isinstance(message, FilesTaken | Kept | Usage):
                    client.handle(message)
                elif isinstance(message, StackRead):
                    self._registry.stacks.handle(client.slot, message)
                elif not isinstance(message, Started):  # else the worker's own connection is the news
                    self.handle(stimuli.LauncherReported(client.slot, message))
                if isinstance(message, Log):
                    await client.acknowledge()
        except ProtocolError as error:
            return stimuli.LauncherUnreachable(client.slot, f"{lost}: {error}")
        except ParcsError as error:  # the end of the connection
            if client.is_silent:
                return stimuli.LauncherUnreachable(client.slot, f"is lost: {error} (PARCS_LIVENESS)")
            return stimuli.ConnectionEnded(client.slot, str(error))
        except Exception as error:
            report_unexpected(error)
            return stimuli.LauncherUnreachable(client.slot, f"{lost}: {type(error).__name__}: {error}")

    async def _send_files(self, client: LauncherClient, spec: WorkerSpec) -> None:
        """Send a launcher the files of its workers; one that can't have them counts as lost."""
        with suppress(ParcsError):  # the end of the connection, which is reported by itself
            problem = await self._files.send(client, spec)
            if not problem:
                self.handle(stimuli.FilesSent(client.slot))
            elif record := self._state.launchers.get(client.slot):
                node = f" on {record.node}" if record.node else ""
                self.handle(stimuli.LauncherUnreachable(client.slot, f"did not get its files{node}: {problem}"))

    async def _close(self, client: LauncherClient) -> None:
        """End a launcher's connection."""
        serving = self._serving.pop(client, None)
        if serving:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        await client.aclose()
        if self._registry.launchers.get(client.slot) is client:
            del self._registry.launchers[client.slot]

    async def _watch_engine(self, group: WorkerGroup) -> None:
        """Pass on what the engine reports of a group's launchers."""
        async for state in self._engine.states(group):
            last_lines: tuple[str, ...] = ()
            if state.state in ("failed", "gone"):
                if state.state == "failed" or state.exitcode:
                    self.handle(stimuli.LauncherFailed(state.launcher))
                last_lines = await self._engine.post_mortem(state.launcher)
            try:
                self.handle(stimuli.EngineReported(state, last_lines))
            except Exception as error:  # the ends of the group's other launchers are still to be reported
                report_unexpected(error)

    async def _stop(self, group: WorkerGroup) -> None:
        """Stop a group through the engine; a failure is reported, and stopping is tried again when the job ends."""
        try:
            await self._engine.stop(group)
        except ParcsError as error:
            self._note(group.spec.module, f"its launchers can't be stopped before the job ends: {error}", True)

    async def _release(self, group: WorkerGroup) -> None:
        try:
            await self._engine.release(group)
        except ParcsError as error:
            self._note(group.spec.module, f"its launchers can't be removed before the job ends: {error}", True)

    # State

    def handle(self, stimulus: Stimulus) -> None:
        """
        Pass what has happened to the job's state, and carry out what that decides; nothing once this is closed.

        An action that fails, which none should, keeps no other from being carried out: the first error is raised after
        them, and the others go to the loop's exception handler.
        """
        if self._is_closed:
            return
        errors: list[Exception] = []
        try:
            for action in self._state.handle(stimulus, asyncio.get_running_loop().time()):
                try:
                    self._execute(action)
                except Exception as error:
                    errors.append(error)
        finally:
            self._timer.set(self._state.next_deadline)
        for other in errors[1:]:
            report_unexpected(other)
        if errors:
            raise errors[0]

    def _execute(self, action: Action) -> None:
        launchers = self._registry.launchers
        match action:
            case stimuli.SendRequest(slot, request) if slot in launchers:
                launchers[slot].send(request)
            case stimuli.SendFiles(slot, spec) if slot in launchers:
                self.own(self._send_files, launchers[slot], spec)
            case stimuli.FailStart(number, reason, last_lines):
                self._registry.workers[number].fail_start(reason, last_lines)
            case stimuli.EndWorker():
                self._end_worker(action)
            case stimuli.CloseSession(number):
                if session := self._registry.sessions.pop(number, None):
                    session.link.abort()
            case stimuli.WatchGroup(group):
                self.own(self._watch_engine, group)
            case stimuli.StopGroup(group):
                self.own(self._stop, group)
            case stimuli.ReleaseGroup(group):
                self.own(self._release, group)
            case stimuli.CheckEngine():
                self._engine.poll_now()
            case stimuli.DisconnectLauncher(slot) if slot in launchers:
                launchers[slot].abort()
            case stimuli.RemoveLauncher(slot) if slot in launchers:
                self.own(self._close, launchers[slot])
            case _:
                report(action, self._registry, self._events)

    def _end_worker(self, end: stimuli.EndWorker) -> None:
        worker = self._registry.workers.pop(end.worker)
        worker.unsent_results = end.results
        worker.end(end.lost, cut=end.cut)
        if end.is_stopped:
            self._events.publish(WorkerStopped(monotonic(), worker.module, end.worker))
        else:
            self._events.publish(WorkerExited(monotonic(), worker.module, end.worker, end.error))

    def own(self, work: Callable[[*_Ts], Awaitable[None]], *args: *_Ts) -> asyncio.Task[None]:
        """Run a coroutine function beside the user's program until it ends, or the job does; return its task."""
        return self._background.start(work, *args)

    def _note(self, module: str, text: str, is_warning: bool = False) -> None:
        self._events.publish(Notice(monotonic(), module, text, is_warning))
