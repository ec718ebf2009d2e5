"""The runner: one job, the workers that it starts, and its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, Self
from weakref import WeakSet

from aioparcs.auth import Role
from aioparcs.channel import Channel, FrameConnection, serve_relay
from aioparcs.display import default_display, is_page_wanted, keep
from aioparcs.ending import in_full
from aioparcs.engine import Engine, Job, WorkerSpec
from aioparcs.entry import check_may_direct
from aioparcs.events import EventBus, Notice, program_events
from aioparcs.modules import module_folders
from aioparcs.qualname import START_FOLDER, qualified_name
from aioparcs.runner.channel_sampler import ChannelSampler
from aioparcs.runner.engines import choose_engine
from aioparcs.runner.launcher_client import LauncherClient
from aioparcs.runner.registry import Incoming, JobRegistry
from aioparcs.runner.state import JobState
from aioparcs.runner.supervisor import WorkerSupervisor
from aioparcs.runner.usage_sampler import UsageSampler
from aioparcs.runner.worker_provider import RunnerWorkers
from aioparcs.settings import Settings, misspelt
from aioparcs.starter import Starter
from aioparcs.task import WorkerHandle
from aioparcs.transport import Listener

if TYPE_CHECKING:
    from aioparcs.runner.spawn_server import SpawnServer

__all__ = ["Runner"]


class Runner(Starter):
    """
    Starts workers and talks with each of them.

    Pass a coroutine function or a subclass with a ``run`` method to `run`, or enter a runner anywhere::

        async with Runner() as runner:
            async with runner.start("factor") as t:
                await t.send_all(90, 1, 91)
                print(await t.recv())

    Leaving the block normally waits for the workers to finish, for at most ``close_timeout`` seconds.
    Leaving it on an error, or by cancelling, kills them. Nothing of the job is left in either case.

    Args:
        engine: where work runs: an engine, or ``"local"`` for this machine or ``"swarm"``; by default
            ``PARCS_ENGINE``, else ``swarm`` where ``LEADER_URL`` names a Swarm's leader and ``local`` elsewhere.
        modules: the folders that hold modules, or one such folder; by default ``PARCS_MODULES``, else the folders
            of the running program and above it, see docs/settings.md. On a Swarm a module runs from the image that
            was built from the current files of its folder, see docs/swarm.md.
        settings: limits and deadlines; from the environment by default.
        tls: encrypt every connection (needs the extra ``aioparcs[tls]``).
        spawnable: the modules, image references, functions and Service classes that services may start; by default
            all but images, and ``()`` for none. See docs/tree.md.

    Raises:
        SettingError: an argument, or a variable in the environment, has an impossible value.
        TypeError: ``settings`` is not a `Settings`, or one of its values not a number.

    Attributes:
        made: how many runners this process has made.
    """

    made: ClassVar[int] = 0

    def __init__(
        self,
        *,
        engine: Engine | str | None = None,
        modules: Iterable[str | os.PathLike[str]] | os.PathLike[str] | None = None,
        settings: Settings | None = None,
        tls: bool = False,
        spawnable: Iterable[str | Callable[..., Any]] | None = None,
    ) -> None:
        check_may_direct("makes a Runner")
        if not isinstance(settings, Settings | None):
            raise TypeError(f"settings={settings!r}: it must be a Settings, such as Settings(start_timeout=300)")
        if settings is not None:
            settings.check()
        Runner.made += 1
        self._settings = settings or Settings.from_env()
        if isinstance(modules, str | os.PathLike):  # not its characters
            modules = [modules]
        self._folders = module_folders() if modules is None else [Path(folder).resolve() for folder in modules]
        self._engine: Engine = choose_engine(engine, self._folders)
        self._tls = tls
        self._events = program_events.get() or EventBus(default_display())
        _warn_of_misspelt(self._events)
        # `aioparcs run --on swarm` names its runner's job; processes that the runner starts don't inherit the name.
        job = os.environ.pop("PARCS_RUN", None) or os.urandom(4).hex()
        self._state = state = JobState(self._settings.start_timeout, self._settings.last_lines)
        self._registry = JobRegistry(job, state, self._settings, self._events)
        self._supervisor = WorkerSupervisor(self._engine, self._registry, state, self._settings, self._events)
        self._channels = ChannelSampler(self._registry, self._events)
        self._usage = UsageSampler(self._registry, self._events)
        if spawnable is not None:
            spawnable = frozenset(one if isinstance(one, str) else str(qualified_name(one)) for one in spawnable)
        self._spawnable: frozenset[str] | None = spawnable
        self._providers: WeakSet[RunnerWorkers] = WeakSet()
        self._outside = AsyncExitStack()  # what shows the job to others: its history and its control socket
        self._listener: Listener | None = None

    async def run(self) -> None:
        """Run the program; a subclass that is passed to `run` overrides this."""
        raise TypeError(f"{type(self).__name__} has no run() method")

    @property
    def job(self) -> str:
        """The job's name."""
        return self._registry.job

    @property
    def files(self) -> Path:
        """
        The folder in which the program was started, where it finds what ``aioparcs run --send`` names.

        Workers on a Swarm have a folder of their own: ``files=`` of `start` names what they find in it, too.
        """
        return Path(START_FOLDER)

    @property
    def rejected_connections(self) -> int:
        """The number of connections that were refused so far."""
        return self._registry.rejected_connections

    @classmethod
    async def open(cls, **options: Any) -> Self:
        """
        Return a runner that has been entered, for programs in which no block can hold it, such as a notebook's cells::

            runner = await Runner.open()
            ...
            await runner.close()

        Args:
            options: those of the class.

        Raises:
            ParcsError: the engine can't be reached.
        """
        return await cls(**options).__aenter__()

    async def close(self) -> None:
        """Leave a runner that was entered by `open`, as leaving its block normally does."""
        await self.__aexit__(None)

    async def __aenter__(self) -> Self:
        if self._listener:
            raise RuntimeError("a runner can be entered only once; create another one")
        try:
            if self._events.history is None and is_page_wanted():
                kept = keep(self._events)
                await asyncio.to_thread(kept.__enter__)
                self._outside.push_async_callback(asyncio.to_thread, kept.__exit__, None, None, None)
            self._listener = await self._engine.listen(self._handle_connection, tls=self._tls)
            job, token, address = self._registry.job, self._registry.token, self._listener.address
            await self._engine.open(Job(job, token, address, self._settings, self._events, tuple(self._folders)))
            await self._supervisor.open()
            await self._open_control()
            for sampler in self._channels, self._usage:
                self._supervisor.own(sampler.run)
        except BaseException:
            await self._leave()
            raise
        return self

    async def _open_control(self) -> None:
        """Open the control socket beside the program's history, if it has one and no other runner has the socket."""
        if self._events.history is None:
            return
        from aioparcs.runner.control import ControlServer, JobActions

        parts = self._supervisor, self._registry, self._state, self._events, self._providers
        actions = JobActions(*parts, asyncio.current_task())
        with suppress(OSError):  # the job goes on without
            server = await ControlServer.open(self._events.history.with_suffix(".sock"), actions.perform)
            self._outside.push_async_callback(server.aclose)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self._supervisor.finish()
        finally:
            await self._leave()

    async def _handle_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle a new connection: hand it to those it belongs to."""
        match await self._registry.accept(reader, writer):
            case Incoming(Role.RELAY, _, Channel() as channel):
                await serve_relay(channel, self._settings.handshake_timeout)
            case Incoming(_, number, Channel() as channel):
                self._supervisor.connect_worker(number, channel)
            case Incoming(Role.LAUNCHER, slot, FrameConnection() as connection, takes_files, control):
                liveness = self._settings.liveness
                client = LauncherClient(slot, connection, liveness, takes_files=takes_files, control=control)
                self._supervisor.connect_launcher(client)
            case Incoming(_, number, FrameConnection() as connection):
                self._spawn_server.connect(number, connection)

    @cached_property
    def _spawn_server(self) -> SpawnServer:
        """The server of workers that start workers."""
        from aioparcs.runner.spawn_server import SpawnPolicy, SpawnServer  # few programs have such workers

        policy = SpawnPolicy(self._spawnable, self._settings.max_depth, self._settings.max_spawned)
        return SpawnServer(self._registry, self._supervisor, self._state, policy, self._events)

    async def _leave(self) -> None:
        """End what still runs, and release everything; however often this is cancelled, nothing is left."""
        try:
            await self._supervisor.end()
            self._channels.finish()
            self._registry.publish_calls()
        finally:
            await in_full(self._release())

    async def _release(self) -> None:
        """Release everything, even if releasing one thing fails."""
        async with AsyncExitStack() as left:
            left.push_async_callback(self._engine.aclose)
            left.callback(self._registry.close)
            if self._listener:
                left.push_async_callback(self._listener.aclose)
                self._listener.close()  # nothing would end the connection of a launcher that came in now
            left.push_async_callback(self._supervisor.aclose)
            await self._outside.aclose()

    async def _start_workers(self, spec: WorkerSpec, count: int) -> list[WorkerHandle]:
        return await self._supervisor.place(spec, count)

    def _worker_provider(self) -> tuple[RunnerWorkers, EventBus]:
        provider = RunnerWorkers(self._supervisor, self._state, self._engine)
        self._providers.add(provider)
        return provider, self._events


_warned: set[str] = set()  # lines that this process has shown: it may make many runners


def _warn_of_misspelt(events: EventBus) -> None:
    for line in misspelt(os.environ):
        if line not in _warned:
            _warned.add(line)
            events.publish(Notice(monotonic(), "runner", line, is_warning=True))
