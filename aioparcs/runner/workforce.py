"""The workers of a job: how they are placed, watched over and ended."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Coroutine
from typing import Any, NamedTuple

from aioparcs.channel import Channel, introduce_v1
from aioparcs.engine import Engine, Observer, Placement, WorkerGroup, WorkerSpec
from aioparcs.errors import ConnectionLost, HandshakeError, ParcsError, StartError
from aioparcs.runner.hub import Hub
from aioparcs.runner.launchers import Launcher
from aioparcs.settings import Settings
from aioparcs.task import Task
from aioparcs.transport import dial, raise_file_limit

__all__ = ["Workforce"]

# Open files besides the workers' connections: standard streams, the loop, listeners, and some for the user.
_SPARE_FILES = 24


class _Request(NamedTuple):
    """What one start asked for, and the end of its patience."""

    group: WorkerGroup
    tasks: list[Task]
    timer: asyncio.TimerHandle


class Workforce:
    """
    All workers of one job, from the request to their end.

    Args:
        engine: has them run.
        hub: gives them their places when they dial in.
        settings: limits and deadlines.
        observer: who watches.
    """

    def __init__(self, engine: Engine, hub: Hub, settings: Settings, observer: Observer) -> None:
        self._engine = engine
        self._hub = hub
        self._settings = settings
        self._observer = observer
        self._next_worker = 0
        self._is_open = False
        self._supervised: set[int] = set()
        self._placements: dict[int, Placement] = {}  # the latest of each launcher
        self._jobs: set[asyncio.Task[None]] = set()
        self._requests: list[_Request] = []
        self._prune_at = 256

    def open(self) -> None:
        """Begin."""
        raise_file_limit()
        self._is_open = True

    def is_open(self) -> bool:
        """Tell whether workers may be placed."""
        return self._is_open

    async def finish(self) -> None:
        """Wait for all workers to finish, for ``close_timeout`` seconds at the longest."""
        self._is_open = False
        await asyncio.gather(*(task.shutdown() for task in self._hub.tasks.values() if task.is_connected))

    async def end(self) -> None:
        """End what still runs, and hear its last lines."""
        self._is_open = False
        await asyncio.gather(*(launcher.end(self._settings.close_timeout) for launcher in self._launchers()))

    async def aclose(self) -> None:
        """Let go of everything, however the job ended."""
        for request in self._requests:
            request.timer.cancel()
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        unconnected = (request.group for request in self._requests if not self._is_connected(request.group))
        await asyncio.gather(*map(self._stop, unconnected))
        await asyncio.gather(*(launcher.aclose() for launcher in self._launchers()))
        await asyncio.gather(*(task.abandon() for task in self._hub.tasks.values()))

    # Placing

    async def place(self, spec: WorkerSpec, count: int) -> list[Task]:
        """
        Have workers placed; returns before they are connected.

        Raises:
            StartError: it is certain that they can't run.
        """
        if not self.is_open():
            raise RuntimeError("workers are started inside the runner's block: async with Runner() as runner")
        _check_file_limit(spec.module, sum(len(launcher.tasks) for launcher in self._launchers()) + count)
        first, self._next_worker = self._next_worker, self._next_worker + count
        tasks = [Task(spec.module, first + i, i, count, self._settings, self._kill) for i in range(count)]
        self._hub.expect(tasks)
        try:
            group = await self._engine.start(spec, first, count)
        except BaseException:
            self._hub.forget(tasks)
            raise
        if not self.is_open():  # any more
            self._hub.forget(tasks)
            await self._engine.stop(group)
            raise StartError(spec.module, "its runner has ended")
        self._observer.started(spec.module, range(first, first + count))
        self._remember(group, tasks)
        for placement in group.placements:
            self._ask(group, placement, tasks[placement.first - first :][: placement.size])
        self._supervise(group)
        return tasks

    async def replace(self, spec: WorkerSpec, task: Task) -> Task:
        """
        Have a worker placed where another one was that is gone: by its launcher, if that is still there.

        Raises:
            StartError: it is certain that it can't run.
        """
        launcher = self._hub.launchers.get(task.launcher)
        if launcher is None or not launcher.is_up or not self.is_open():
            return (await self.place(spec, 1))[0]
        number, self._next_worker = self._next_worker, self._next_worker + 1
        successor = Task(spec.module, number, task.rank, task.size, self._settings, self._kill)
        placement = self._placements[task.launcher]._replace(first=number, size=1)
        self._hub.expect([successor])
        self._observer.started(spec.module, range(number, number + 1))
        self._remember(WorkerGroup(spec, number, 1, (placement,)), [successor])
        launcher.start([successor], number - task.rank, task.size, dict(placement.limits))
        return successor

    def _remember(self, group: WorkerGroup, tasks: list[Task]) -> None:
        """Keep what was asked for until all of it is over, and see that it comes in time."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._settings.start_timeout, self._expire, group, tasks)
        self._requests.append(_Request(group, tasks, timer))
        if len(self._requests) > self._prune_at:  # a runner may start workers for days
            self._requests = [request for request in self._requests if not all(t.is_over for t in request.tasks)]
            self._prune_at = 2 * len(self._requests) + 256

    def _ask(self, group: WorkerGroup, placement: Placement, tasks: list[Task]) -> None:
        launcher = self._hub.launchers.get(placement.launcher)
        self._placements[placement.launcher] = placement
        if launcher is None:
            module, slot = group.spec.module, placement.launcher
            launcher = Launcher(module, slot, self._settings, self._observer, self._engine.look)
            self._hub.launchers[placement.launcher] = launcher
        if group.spec.wire == "v1":
            launcher.adopt(tasks[0], stop=lambda: self._own(self._stop(group)))
            dialling = self._own(self._dial_v1(tasks[0], placement.launcher))
            tasks[0].on_settled(lambda _: dialling.cancel())  # it may have ended before it answered
        else:
            launcher.start(tasks, group.first, group.size, dict(placement.limits))

    async def _dial_v1(self, task: Task, launcher: int) -> None:
        try:
            address = await self._engine.address(launcher)
            reader, writer = await dial(address, timeout=self._settings.start_timeout)
            try:
                await introduce_v1(reader, writer, self._settings.handshake_timeout)
            except BaseException:
                writer.transport.abort()
                raise
        except (ConnectionLost, HandshakeError) as error:
            task.give_up(str(error))
            return
        except StartError as error:
            task.give_up(error.reason)
            return
        task.connect(Channel(reader, writer, settings=self._settings, version=1), version=1)
        self._observer.connected(task.module, task.worker)

    # Supervising

    def _launchers(self) -> list[Launcher]:
        return list(self._hub.launchers.values())

    def _is_connected(self, group: WorkerGroup) -> bool:
        return any(self._hub.launchers[placement.launcher].is_connected for placement in group.placements)

    def _own(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside the user's program until it ends, or the job does."""
        task = asyncio.ensure_future(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        return task

    async def _stop(self, group: WorkerGroup) -> None:
        """Have the engine end a group; that it can't is told, and tried again when the job ends."""
        try:
            await self._engine.stop(group)
        except ParcsError as error:
            self._observer.note(group.spec.module, f"can't be stopped now: {error}")

    def _supervise(self, group: WorkerGroup) -> None:
        """Watch over the group's launchers, once each."""
        new = {placement.launcher for placement in group.placements} - self._supervised
        if new:
            self._supervised |= new
            self._own(self._hear_engine(group))

    async def _hear_engine(self, group: WorkerGroup) -> None:
        async for state in self._engine.states(group):
            launcher = self._hub.launchers[state.launcher]
            if state.state in ("failed", "gone"):
                launcher.gone(state, await self._engine.post_mortem(state.launcher))
            else:
                launcher.hear(state)

    def _expire(self, group: WorkerGroup, tasks: list[Task]) -> None:
        """Give up what didn't come in time."""
        for task in tasks:
            if not task.is_connected and task.start_error is None:
                waits_for = next((one.waits_for for one in self._launchers() if task.worker in one.tasks), "")
                task.give_up(
                    f"it was not connected within {self._settings.start_timeout:g} s (PARCS_START_TIMEOUT): "
                    f"{waits_for or 'does its main.py reach serve(...)?'}"
                )
                self._kill(task, signal.SIGKILL)
        if not self._is_connected(group) and not any(task.is_connected for task in tasks):
            self._own(self._stop(group))

    def _kill(self, task: Task, number: int) -> None:
        for launcher in self._launchers():
            if task.worker in launcher.tasks:
                launcher.kill(task.worker, number)


def _check_file_limit(module: str, workers: int) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if workers + _SPARE_FILES > limit:
        raise StartError(
            module,
            f"{workers} workers need about {workers + _SPARE_FILES} open files, and this process may have {limit}: "
            "raise the limit (ulimit -n) or start fewer",
        )
