"""The program that directs: one job, the workers that it starts, and its end."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from aioparcs.display import Console
from aioparcs.engine import Engine, Job, WorkerSpec, observer
from aioparcs.errors import EndOfChannel
from aioparcs.pool import Pool
from aioparcs.runner.engines import choose_engine
from aioparcs.runner.hub import Hub
from aioparcs.runner.workforce import Workforce
from aioparcs.settings import Settings
from aioparcs.task import Starting, StartingMany, Task
from aioparcs.transport import Listener

__all__ = ["Runner"]


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
        engine: where work runs: an engine, or ``"local"`` for this machine or ``"swarm"``; by default
            ``PARCS_ENGINE``, else ``swarm`` where ``LEADER_URL`` names a Swarm's leader and ``local`` elsewhere.
        modules: the folders that hold modules; by default ``PARCS_MODULES``, else beside the running module.
        settings: limits and deadlines; from the environment by default.
        tls: encrypt every connection (needs the extra ``aioparcs[tls]``).
    """

    def __init__(
        self,
        *,
        engine: Engine | str | None = None,
        modules: Iterable[str | os.PathLike[str]] | None = None,
        settings: Settings | None = None,
        tls: bool = False,
    ) -> None:
        self._settings = settings or Settings.from_env()
        folders = None if modules is None else [Path(folder).resolve() for folder in modules]
        self._engine: Engine = choose_engine(engine, folders)
        self._tls = tls
        self._observer = observer.get() or Console()
        # Whoever submits a runner to a Swarm names its job; what the runner starts is no part of that.
        job = os.environ.pop("PARCS_RUN", None) or secrets.token_hex(4)
        self._hub = Hub(job, self._settings, self._observer)
        self._workforce = Workforce(self._engine, self._hub, self._settings, self._observer)
        self._listener: Listener | None = None

    async def run(self) -> None:
        """Do the runner's work; a subclass that is handed to `run` says how."""
        raise TypeError(f"{type(self).__name__} has no run() method")

    @property
    def job(self) -> str:
        """The job's name."""
        return self._hub.job

    @property
    def strangers(self) -> int:
        """How many connections were refused so far."""
        return self._hub.strangers

    async def __aenter__(self) -> Self:
        if self._listener:
            raise RuntimeError("a runner is entered once; make another one")
        try:
            self._listener = await self._engine.listen(self._hub.welcome, tls=self._tls)
            await self._engine.open(
                Job(self._hub.job, self._hub.token, self._listener.address, self._settings, self._observer)
            )
        except BaseException:
            await self._leave()
            raise
        self._workforce.open()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self._workforce.finish()
        finally:
            await self._leave()

    async def _leave(self) -> None:
        """Let go of everything, however the job ended, and however letting go of one thing fails."""
        async with AsyncExitStack() as left:
            left.push_async_callback(self._engine.aclose)
            if self._listener:
                left.push_async_callback(self._listener.aclose)
            left.push_async_callback(self._workforce.aclose)
            await self._workforce.end()

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
            module: the name of a folder with ``main.py``; on a Swarm it stands for the image of that name in
                ``PARCS_REGISTRY``, and a name with ``/`` or ``:`` is an image itself.
            env: variables of the worker's environment, besides the engine's.
            cpus: CPUs that it may keep busy; whole ones on the local engine.
            memory: bytes that it may use, also as text such as ``"512m"``.
            gpus: GPUs that it gets.
            wire: ``"v1"`` for a service of the original PARCS.
            swarm: what only a Swarm has, and other engines ignore: ``constraints`` and ``preferences`` of placement,
                ``mounts``, ``networks``, ``labels``; see docs/swarm.md.

        Raises:
            SettingError: an option has an impossible value.
            StartError: (when awaited) the worker did not start; says why, and what to do.
        """
        spec = WorkerSpec.make(module, env=env, cpus=cpus, memory=memory, gpus=gpus, wire=wire, swarm=swarm)
        return Starting(lambda: self._workforce.place(spec, 1))

    def start_many(
        self,
        module: str,
        count: int,
        *,
        min_workers: int | None = None,
        return_exceptions: bool = False,
        per_container: int | str | None = None,
        env: Mapping[str, str] | None = None,
        cpus: float | None = None,
        memory: int | str | None = None,
        gpus: int | None = None,
        swarm: Mapping[str, Any] | None = None,
    ) -> StartingMany:
        """
        Start many workers at once; await the result, iterate it, or enter it with ``async with``.

        Args:
            module: see `start`.
            count: how many.
            min_workers: enough to begin with: the wait ends when so many are connected, and those who come later
                join the list. Starts that fail don't matter as long as so many succeed.
            return_exceptions: put a `StartError` into the list in place of a worker that did not start.
            per_container: how many of them share a container on a Swarm, 1 by default; what `main.py` loads before
                ``serve`` is loaded once for all of these. ``"auto"`` makes as few containers as there are nodes to
                spread over. The local engine has no containers.
            env: see `start`; each of the workers gets the same.
            cpus: see `start`; for each of them.
            memory: see `start`; for each of them.
            gpus: see `start`; for each of them.
            swarm: see `start`.

        Raises:
            SettingError: an option has an impossible value.
            StartError: (when awaited) a worker did not start; all the others are killed.
        """
        if not 1 <= (1 if min_workers is None else min_workers) <= count:
            raise ValueError(f"count={count!r} and min_workers={min_workers!r} start no workers")
        spec = WorkerSpec.make(
            module, env=env, cpus=cpus, memory=memory, gpus=gpus, per_container=per_container, swarm=swarm
        )
        return StartingMany(
            lambda: self._workforce.place(spec, count), min_workers=min_workers, return_exceptions=return_exceptions
        )

    def pool(
        self,
        module: str,
        size: int,
        *,
        function: str = "",
        per_container: int | str = "auto",
        retries: int = 0,
        setup: Mapping[str, Any] | None = None,
        concurrency: int = 1,
        progress: bool | str = True,
        env: Mapping[str, str] | None = None,
        cpus: float | None = None,
        memory: int | str | None = None,
        gpus: int | None = None,
        swarm: Mapping[str, Any] | None = None,
    ) -> Pool:
        """
        Have workers answer calls: ``async with runner.pool("divisors", 8) as pool``; see `Pool`.

        Entering its block starts the workers, and waits until all of them are there.

        Args:
            module: a module of functions; see `start` and `serve`.
            size: how many workers.
            function: the function to call; by default the first that the module serves.
            per_container: see `start_many`; 1 isolates every worker.
            retries: how often a call is made again whose worker died of it: for functions that may run twice.
            setup: keyword arguments of the module's function ``setup``, which each worker calls once, before all
                other calls: for constants that all calls need.
            concurrency: how many calls a worker runs at once: more than one are for coroutine functions.
            progress: whether watchers are told how far it is; a text is what it is called there.
            env: see `start`; each of the workers gets the same.
            cpus: see `start`; for each of them.
            memory: see `start`; for each of them.
            gpus: see `start`; for each of them.
            swarm: see `start`.

        Raises:
            SettingError: an option has an impossible value.
            ValueError: a number is too small.
            StartError: (on entering) a worker did not start; all the others are killed.
        """
        spec = WorkerSpec.make(
            module, env=env, cpus=cpus, memory=memory, gpus=gpus, per_container=per_container, swarm=swarm
        )
        return Pool(
            self._workforce,
            self._observer,
            spec,
            size,
            function=function,
            retries=retries,
            setup=setup,
            concurrency=concurrency,
            progress=progress,
        )

    async def recv_any(self, tasks: Iterable[Task]) -> AsyncGenerator[tuple[Task, Any], None]:
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
