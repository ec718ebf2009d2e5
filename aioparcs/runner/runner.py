"""The program that directs: one job, the workers that it starts, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from aioparcs.channel import Channel, introduce_v1
from aioparcs.engine import Engine, Job, Placement, WorkerGroup, WorkerSpec, observer
from aioparcs.errors import ConnectionLost, EndOfChannel, HandshakeError, StartError
from aioparcs.local import LocalEngine
from aioparcs.runner.hub import Hub
from aioparcs.runner.launchers import Launcher
from aioparcs.runner.starting import Starting, StartingMany
from aioparcs.settings import Settings
from aioparcs.task import Task
from aioparcs.transport import Listener, dial

__all__ = ["Runner"]

# Open files besides the workers' connections: standard streams, the loop, listeners, and some for the user.
_SPARE_FILES = 24


class Runner:
    """
    Starts workers and talks with each of them.

    Hand a coroutine function or a subclass with a ``run`` method to `run`, or enter a runner anywhere::

        async with Runner() as runner:
            async with runner.start("factor") as t:
                await t.send_all(90, 1, 91)
                print(await t.recv())

    Leaving its block normally waits for the workers to finish, for ``close_timeout`` seconds at the longest;
    leaving it on an error, or by cancelling, kills them. Nothing of the job is left either way.

    Args:
        engine: where work runs; this machine by default.
        modules: the folders that hold modules; by default ``PARCS_MODULES``, else beside the running module.
        settings: limits and deadlines; from the environment by default.
        tls: encrypt every connection (needs the extra ``aioparcs[tls]``).
    """

    def __init__(
        self,
        *,
        engine: Engine | None = None,
        modules: Iterable[str | os.PathLike[str]] | None = None,
        settings: Settings | None = None,
        tls: bool = False,
    ) -> None:
        self._settings = settings or Settings.from_env()
        folders = None if modules is None else [Path(folder).resolve() for folder in modules]
        self._engine: Engine = engine or LocalEngine(folders)
        self._tls = tls
        self._observer = observer.get()
        self._hub = Hub(self._settings, self._observer)
        self._next_worker = 0
        self._listener: Listener | None = None
        self._supervised: set[int] = set()
        self._jobs: set[asyncio.Task[None]] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self._groups: list[WorkerGroup] = []

    async def run(self) -> None:
        """Do the runner's work; a subclass that is handed to `run` says how."""
        raise TypeError(f"{type(self).__name__} has no run() method")

    @property
    def job(self) -> str:
        """The job's name."""
        return self._hub.job

    async def __aenter__(self) -> Self:
        _raise_file_limit()
        self._listener = await self._engine.listen(self._hub.welcome, tls=self._tls)
        await self._engine.open(
            Job(self._hub.job, self._hub.token, self._listener.address, self._settings, self._observer)
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await asyncio.gather(*(task.shutdown() for task in self._hub.tasks.values() if task.is_connected))
            await asyncio.gather(*(launcher.end(self._settings.close_timeout) for launcher in self._launchers()))
        finally:
            await self._leave()

    async def _leave(self) -> None:
        """Let go of everything, however the job ended."""
        for timer in self._timers:
            timer.cancel()
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        for group in self._groups:
            if not self._is_connected(group):
                await self._engine.stop(group)
        await asyncio.gather(*(launcher.aclose() for launcher in self._launchers()))
        for task in self._hub.tasks.values():
            task.give_up("its runner has ended")
        await asyncio.gather(*(task.abandon() for task in self._hub.tasks.values()))
        if self._listener:
            await self._listener.aclose()
        await self._engine.aclose()

    def _launchers(self) -> list[Launcher]:
        return list(self._hub.launchers.values())

    def _is_connected(self, group: WorkerGroup) -> bool:
        return any(self._hub.launchers[placement.launcher].is_connected for placement in group.placements)

    # Starting

    def start(
        self,
        module: str,
        *,
        env: Mapping[str, str] | None = None,
        cpus: float | None = None,
        memory: int | str | None = None,
        gpus: int | None = None,
        wire: str | None = None,
        swarm: Mapping[str, Any] | None = None,
    ) -> Starting:
        """
        Start one worker; await the result, or enter it with ``async with``.

        Any number of starts may be on their way at once: ``asyncio.gather(*(runner.start("factor") for ...))``.

        Args:
            module: the name of a folder with ``main.py``.
            env: variables of the worker's environment, besides the engine's.
            cpus: CPUs that it may keep busy; whole ones on the local engine.
            memory: bytes that it may use, also as text such as ``"512m"``.
            gpus: GPUs that it gets.
            wire: ``"v1"`` for a service of the original PARCS.
            swarm: what the swarm engine adds to Docker's specification; the local engine ignores it.

        Raises:
            SettingError: an option has an impossible value.
            StartError: (when awaited) the worker did not start; says why, and what to do.
        """
        spec = WorkerSpec.make(module, env=env, cpus=cpus, memory=memory, gpus=gpus, wire=wire, swarm=swarm)
        return Starting(lambda: self._place(spec, 1))

    def start_many(
        self,
        module: str,
        count: int,
        *,
        min_workers: int | None = None,
        return_exceptions: bool = False,
        env: Mapping[str, str] | None = None,
        cpus: float | None = None,
        memory: int | str | None = None,
        gpus: int | None = None,
        swarm: Mapping[str, Any] | None = None,
    ) -> StartingMany:
        """
        Start many workers at once; await the result, iterate it, or enter it with ``async with``.

        Args:
            module: the name of a folder with ``main.py``.
            count: how many.
            min_workers: enough to begin with: the wait ends when so many are connected, and those who come later
                join the list. Starts that fail don't matter as long as so many succeed.
            return_exceptions: put a `StartError` into the list in place of a worker that did not start.
            env: see `start`; each of the workers gets the same.
            cpus: see `start`; for each of them.
            memory: see `start`; for each of them.
            gpus: see `start`; for each of them.
            swarm: see `start`.

        Raises:
            SettingError: an option has an impossible value.
            StartError: (when awaited) a worker did not start; all the others are killed.
        """
        if count < 1 or not 1 <= (min_workers or 1) <= count:
            raise ValueError(f"count={count!r} and min_workers={min_workers!r} start no workers")
        spec = WorkerSpec.make(module, env=env, cpus=cpus, memory=memory, gpus=gpus, swarm=swarm)
        return StartingMany(
            lambda: self._place(spec, count), min_workers=min_workers, return_exceptions=return_exceptions
        )

    async def recv_any(self, tasks: Iterable[Task]) -> AsyncIterator[tuple[Task, Any]]:
        """
        Receive from whoever speaks first: ``async for t, message in runner.recv_any(tasks)``.

        It ends when all of them have ended. Leaving it early, or cancelling it, loses no message.

        Raises:
            WorkerLost, RemoteError: one of them failed; go on with the others by calling it again without that one.
        """
        waiting = dict.fromkeys(tasks)
        ready = dict.fromkeys(task for task in waiting if task.is_ready)
        news = asyncio.Event()

        def notice(task: Task) -> None:
            ready[task] = None
            news.set()

        undo = [task.watch(lambda task=task: notice(task)) for task in waiting]  # type: ignore[misc]  # mypy#6123
        try:
            while waiting:
                while not ready:
                    news.clear()
                    await news.wait()
                task = next(iter(ready))
                del ready[task]
                if task not in waiting or not task.is_ready:
                    continue
                try:
                    message = await task.recv()
                except EndOfChannel:
                    del waiting[task]
                    continue
                if task.is_ready:
                    ready[task] = None  # behind the others
                yield task, message
        finally:
            for unwatch in undo:
                unwatch()

    async def _place(self, spec: WorkerSpec, count: int) -> list[Task]:
        """Have workers placed, and supervise them; returns before they are connected."""
        if self._listener is None:
            raise RuntimeError("enter the runner first: async with Runner() as runner")
        _check_file_limit(spec.module, sum(len(launcher.tasks) for launcher in self._launchers()) + count)
        first, self._next_worker = self._next_worker, self._next_worker + count
        tasks = [Task(spec.module, first + i, i, count, self._settings, self._kill) for i in range(count)]
        self._hub.expect(tasks)
        try:
            group = await self._engine.start(spec, first, count)
        except BaseException:
            for task in tasks:
                del self._hub.tasks[task.worker]
            raise
        self._observer.started(spec.module, range(first, first + count))
        self._groups.append(group)
        for placement in group.placements:
            self._ask(group, placement, tasks[placement.first - first :][: placement.size])
        new = {placement.launcher for placement in group.placements} - self._supervised
        if new:
            self._supervised |= new
            self._own(self._supervise(group))
        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_later(self._settings.start_timeout, self._expire, group, tasks))
        return tasks

    def _ask(self, group: WorkerGroup, placement: Placement, tasks: list[Task]) -> None:
        launcher = self._hub.launchers.get(placement.launcher)
        if launcher is None:
            launcher = Launcher(group.spec.module, placement.launcher, self._settings, self._observer)
            self._hub.launchers[placement.launcher] = launcher
        if placement.dial:
            launcher.adopt(tasks[0])
            self._own(self._dial_v1(tasks[0], placement))
        else:
            launcher.start(tasks, group.first, group.size, group.spec.limits)

    async def _dial_v1(self, task: Task, placement: Placement) -> None:
        assert placement.dial is not None
        try:
            reader, writer = await dial(placement.dial, timeout=self._settings.start_timeout)
            try:
                await introduce_v1(reader, writer, self._settings.handshake_timeout)
            except BaseException:
                writer.transport.abort()
                raise
        except (ConnectionLost, HandshakeError) as error:
            task.give_up(str(error))
            return
        if task.connect(Channel(reader, writer, settings=self._settings, version=1)):
            self._observer.connected(task.module, task.worker)

    # Supervising

    def _own(self, job: Any) -> None:
        """Run something beside the user's program until it ends, or the job does."""
        task = asyncio.ensure_future(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def _supervise(self, group: WorkerGroup) -> None:
        """Hear from the engine what becomes of the group's launchers."""
        async for state in self._engine.states(group):
            if state.state not in ("failed", "gone"):
                continue
            launcher = self._hub.launchers[state.launcher]
            lines = await self._engine.post_mortem(state.launcher)
            launcher.gone(state.reason, state.exitcode, lines)

    def _expire(self, group: WorkerGroup, tasks: list[Task]) -> None:
        """Give up what didn't come in time."""
        for task in tasks:
            if not task.is_connected and task.start_error is None:
                task.give_up(
                    f"it was not connected within {self._settings.start_timeout:g} s (PARCS_START_TIMEOUT); "
                    "does its main.py reach serve(...)?"
                )
                self._kill(task, signal.SIGKILL)
        if not self._is_connected(group):
            self._own(self._engine.stop(group))

    def _kill(self, task: Task, number: int) -> None:
        for launcher in self._launchers():
            if task.worker in launcher.tasks:
                launcher.kill(task.worker, number)
        for group in self._groups:
            if group.spec.wire == "v1" and group.first == task.worker:
                self._own(self._engine.stop(group))  # it has no launcher to ask


def _raise_file_limit() -> None:
    """Allow as many open files as the system lets this process have: each worker's connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(OSError, ValueError):  # a hard limit beyond what the kernel allows
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _check_file_limit(module: str, workers: int) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if workers + _SPARE_FILES > limit:
        raise StartError(
            module,
            f"{workers} workers need about {workers + _SPARE_FILES} open files, and this process may have {limit}: "
            "raise the limit (ulimit -n) or start fewer",
        )
