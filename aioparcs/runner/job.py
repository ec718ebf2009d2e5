"""The job of a runner: its parts, which begin and end together."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from aioparcs.auth import Role
from aioparcs.channel import Channel, FrameConnection, serve_relay
from aioparcs.display import default_display, is_page_wanted, keep
from aioparcs.ending import in_full
from aioparcs.engine import Engine, Job
from aioparcs.errors import ParcsError, describe
from aioparcs.events import EventBus, Notice, ProgramEnding, program_events
from aioparcs.modules import module_folders
from aioparcs.qualname import qualified_name
from aioparcs.runner.engines import choose_engine
from aioparcs.runner.launchers import LauncherClient
from aioparcs.runner.registry import Incoming, JobRegistry
from aioparcs.runner.sampling import ChannelSampler, UsageSampler
from aioparcs.runner.state import JobState
from aioparcs.runner.supervisor import WorkerSupervisor
from aioparcs.runner.worker_provider import RunnerWorkers
from aioparcs.settings import Settings, misspelt
from aioparcs.transport import Listener

if TYPE_CHECKING:
    from aioparcs.runner.spawn_server import SpawnServer

__all__ = ["RunnerJob"]


class RunnerJob:
    """
    The parts of one job.

    Args:
        settings: limits and deadlines.
        engine, modules, tls, spawnable, secrets: see `Runner`.

    Attributes:
        engine: where work runs.
        events: gets the job's events.
        state: the state of its workers and launchers.
        registry: their connections.
        supervisor: carries out what the state decides.

    Raises:
        SettingError, TypeError: see `Runner`.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine | str | None,
        modules: Iterable[str | os.PathLike[str]] | None,
        tls: bool,
        spawnable: Iterable[str | Callable[..., Any]] | None,
        secrets: Mapping[str, bytes | os.PathLike[str]] | None,
    ) -> None:
        self._secrets = _all_secrets(secrets)
        self._settings = settings
        self._folders = module_folders() if modules is None else [Path(folder).resolve() for folder in modules]
        self.engine: Engine = choose_engine(engine, self._folders)
        self._tls = tls
        self.events = program_events.get() or EventBus(default_display())
        _warn_of_misspelt(self.events)
        # `aioparcs run --on swarm` names its runner's job; processes that the runner starts don't inherit the name.
        name = os.environ.pop("PARCS_RUN", None) or os.urandom(4).hex()
        self.state = JobState(settings.start_timeout, settings.last_lines)
        self.registry = JobRegistry(name, self.state, settings, self.events)
        self.supervisor = WorkerSupervisor(self.engine, self.registry, self.state, settings, self.events)
        self._channels = ChannelSampler(self.registry, self.events)
        self._usage = UsageSampler(self.registry, self.events)
        if spawnable is not None:
            spawnable = frozenset(one if isinstance(one, str) else str(qualified_name(one)) for one in spawnable)
        self._spawnable: frozenset[str] | None = spawnable
        self._providers: WeakSet[RunnerWorkers] = WeakSet()
        self._outside = AsyncExitStack()  # what shows the job to others: its history and its control socket
        self._listener: Listener | None = None
        self._error: BaseException | None = None  # with which it was left

    def worker_provider(self) -> RunnerWorkers:
        """Return what starts a pool's workers."""
        provider = RunnerWorkers(self.supervisor, self.state, self.engine)
        self._providers.add(provider)
        return provider

    async def open(self) -> None:
        """
        Open the job: from now on workers can be started.

        Raises:
            ParcsError: the engine can't be reached.
        """
        if self._listener:
            raise RuntimeError("a runner can be entered only once; create another one")
        try:
            if self.events.history is None and is_page_wanted():
                kept = keep(self.events)
                await asyncio.to_thread(kept.__enter__)
                self._outside.push_async_callback(asyncio.to_thread, kept.__exit__, None, None, None)
                self._outside.callback(self._announce_end)
            self._listener = await self.engine.listen(self._handle_connection, tls=self._tls)
            name, token, address = self.registry.job, self.registry.token, self._listener.address
            about = self._settings, self.events, tuple(self._folders), self._secrets
            await self.engine.open(Job(name, token, address, *about))
            await self.supervisor.open()
            await self._open_control()
            for sampler in self._channels, self._usage:
                self.supervisor.own(sampler.run)
            if self.events.wants_stacks:
                from aioparcs.runner.sampling.stacks import StackSampler  # only those on a Swarm have it

                self.supervisor.own(StackSampler(self.registry, self.events).run)
        except BaseException:
            await self._leave()
            raise

    async def close(self, error: BaseException | None) -> None:
        """Wait for the workers to finish, unless there is an error, end what still runs, and release everything."""
        self._error = error
        try:
            if error is None:
                await self.supervisor.finish()
        except BaseException as failure:
            self._error = failure
            raise
        finally:
            await self._leave()

    def _announce_end(self) -> None:
        """Publish why this job has ended, if its history is its own: it says so of a program otherwise."""
        match self._error:
            case asyncio.CancelledError() | KeyboardInterrupt():
                self.events.publish(ProgramEnding(monotonic(), "stopped"))
            case BaseException() as error:
                text = str(error) if isinstance(error, ParcsError) else describe(error)
                self.events.publish(ProgramEnding(monotonic(), text))

    async def _open_control(self) -> None:
        """Open the control socket beside the program's history, if it has one and no other runner has the socket."""
        if self.events.history is None:
            return
        from aioparcs.recording.store import socket_of
        from aioparcs.runner.control import ControlServer, JobActions

        parts = self.supervisor, self.registry, self.state, self.events, self._providers
        actions = JobActions(*parts, asyncio.current_task())
        with suppress(OSError):  # the job goes on without
            server = await ControlServer.open(socket_of(self.events.history), actions.perform)
            self._outside.push_async_callback(server.aclose)

    async def _handle_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle a new connection: hand it to those it belongs to."""
        match await self.registry.accept(reader, writer):
            case Incoming(Role.RELAY, _, Channel() as channel):
                await serve_relay(channel, self._settings.handshake_timeout)
            case Incoming(_, number, Channel() as channel):
                self.supervisor.connect_worker(number, channel)
            case Incoming(Role.LAUNCHER, slot, FrameConnection() as connection, peer):
                place = slot, connection, self._settings.liveness
                client = LauncherClient(*place, takes_files=peer.files, control=peer.control, memory=peer.memory)
                self.supervisor.connect_launcher(client)
            case Incoming(_, number, FrameConnection() as connection):
                self._spawn_server.connect(number, connection)

    @cached_property
    def _spawn_server(self) -> SpawnServer:
        """The server of workers that start workers."""
        from aioparcs.runner.spawn_server import SpawnPolicy, SpawnServer  # few programs have such workers

        policy = SpawnPolicy(self._spawnable, self._settings.max_depth, self._settings.max_spawned)
        return SpawnServer(self.registry, self.supervisor, self.state, policy, self.events)

    async def _leave(self) -> None:
        """End what still runs, and release everything; however often this is cancelled, nothing is left."""
        try:
            await self.supervisor.end()
            self._channels.finish()
            self.registry.publish_calls()
        finally:
            await in_full(self._release())

    async def _release(self) -> None:
        """Release everything, even if releasing one thing fails."""
        async with AsyncExitStack() as left:
            left.push_async_callback(self.engine.aclose)
            left.callback(self.registry.close)
            if self._listener:
                left.push_async_callback(self._listener.aclose)
                self._listener.close()  # nothing would end the connection of a launcher that came in now
            left.push_async_callback(self.supervisor.aclose)
            await self._outside.aclose()


_warned: set[str] = set()  # lines that this process has shown: it may make many runners


def _all_secrets(secrets: Mapping[str, bytes | os.PathLike[str]] | None) -> Mapping[str, bytes]:
    """
    Return the secrets of a runner and those of its process, which come first.

    Raises:
        SettingError: one has an impossible name, or can't be read.
    """
    if secrets is None and "aioparcs.credentials" not in sys.modules:
        return {}
    from aioparcs.credentials import given_secrets, read_secrets  # few programs have any

    return {**read_secrets({} if secrets is None else secrets), **given_secrets()}


def _warn_of_misspelt(events: EventBus) -> None:
    for line in misspelt(os.environ):
        if line not in _warned:
            _warned.add(line)
            events.publish(Notice(monotonic(), "runner", line, is_warning=True))
