"""The runner's side of services that start services: their limits, their requests, and the end of their workers."""

from __future__ import annotations

from time import monotonic
from typing import Any, NamedTuple

from aioparcs import deadlines
from aioparcs.address import Address
from aioparcs.channel import FrameConnection, encode_error
from aioparcs.engine import WorkerGroup, WorkerSpec
from aioparcs.engine.options import OPTIONS, check_for_service, read_target
from aioparcs.errors import EndOfChannel, ParcsError, ProtocolError, StartError
from aioparcs.events import EventBus, Notice
from aioparcs.messages.fields import HIGHEST, describe
from aioparcs.messages.spawn import (
    ChildConnected,
    KillChild,
    Spawn,
    Spawned,
    SpawnExpected,
    SpawnRefusal,
    SpawnRequest,
    read_spawn_request,
)
from aioparcs.runner.registry import JobRegistry
from aioparcs.runner.spawned import PendingSpawn, SpawnedWorker, SpawnSession
from aioparcs.runner.state import JobState, stimuli
from aioparcs.runner.supervisor import WorkerSupervisor

__all__ = ["SpawnPolicy", "SpawnServer"]

# Characters of a module's name, which may be an image reference, or of an address.
_LONGEST = 1000
_LONGEST_OPTION = 60  # characters of one that doesn't exist


class SpawnPolicy(NamedTuple):
    """
    The limits of what services may start.

    Attributes:
        modules: the modules, and the places of functions and classes, see `QualifiedName`; or None for all but images.
        depth: see `Settings.max_depth`.
        workers: see `Settings.max_spawned`.
    """

    modules: frozenset[str] | None
    depth: int
    workers: int

    def check(self, spec: WorkerSpec, count: int, depth: int, there: int) -> None:
        """
        Check a request against the limits.

        Args:
            spec: what a service wants to start.
            count: how many of it.
            depth: which generation they would be.
            there: how many live workers services have started.

        Raises:
            StartError: it is not allowed; the message names the limit, and what to do.
        """
        if depth > self.depth:
            reason = f"it would be generation {depth} of its job; the limit is {self.depth} (PARCS_MAX_DEPTH)"
        elif there + count > self.workers:
            reason = (
                f"services would have {there + count} workers at once; the limit is {self.workers} "
                "(PARCS_MAX_SPAWNED): end some first, or start the runner with a higher limit"
            )
        elif self.modules is not None and (spec.target or spec.module) not in self.modules:
            named = ", ".join(sorted(self.modules)) or "no module"
            reason = f"its runner lets services start {named}: to allow this one, add it to Runner(spawnable=...)"
        elif self.modules is None and ("/" in spec.module or ":" in spec.module):
            reason = "services start modules by their names; to allow this image, name it in Runner(spawnable=...)"
        else:
            return
        raise StartError(spec.module, reason)


class SpawnServer:
    """
    All services of a job that start services.

    Each has a control connection of its own to the runner. When that ends, or the worker does, all its descendants
    are killed, to any depth.

    Args:
        registry: the job's connections.
        supervisor: places what they request.
        state: the job's state.
        policy: the limits of what they may start.
        events: gets the job's events.
    """

    def __init__(
        self,
        registry: JobRegistry,
        supervisor: WorkerSupervisor,
        state: JobState,
        policy: SpawnPolicy,
        events: EventBus,
    ) -> None:
        self._registry = registry
        self._supervisor = supervisor
        self._state = state
        self._policy = policy
        self._events = events

    def connect(self, worker: int, link: FrameConnection) -> None:
        """Serve the control connection of a service that is about to start its first worker."""
        # As many requests as there may be workers, and one that will be refused.
        session = SpawnSession(worker, link, self._policy.workers + 1)
        self._registry.sessions[worker] = session
        self._supervisor.own(self._serve, session)

    async def _serve(self, session: SpawnSession) -> None:
        """Handle a service's requests until its connection ends."""
        try:
            while True:
                await self._handle(session, read_spawn_request(await session.link.recv_frame()))
        except EndOfChannel:
            await session.link.aclose(deadlines.CONTROL_CLOSE)
        except ProtocolError as error:
            text = f"worker {session.worker} broke its connection: {error}"
            self._events.publish(Notice(monotonic(), "runner", text, is_warning=True))
        except ParcsError:
            pass  # the end of the connection, whose reason is the worker's affair
        finally:
            session.link.abort()
            self._supervisor.handle(stimuli.ParentEnded(session.worker))

    async def _handle(self, session: SpawnSession, request: SpawnRequest) -> None:
        match request:
            case Spawn():
                await self._begin_spawn(session, request)
            case SpawnExpected(number) if placed := session.placed.pop(number, None):
                self._supervisor.handle(stimuli.StartRequested(placed.group, str(placed.address)))
            case SpawnExpected(number) if number > session.newest:
                raise ProtocolError(f"request {number} is not waiting for workers")
            case SpawnExpected():
                pass  # its workers have ended meanwhile, by their deadline for example
            case ChildConnected(number) if self._is_child(session, number):
                self._supervisor.handle(stimuli.WorkerConnected(number))
            case KillChild(number) if self._is_child(session, number):
                self._supervisor.handle(stimuli.KillRequested(number, request.signal))

    def _is_child(self, session: SpawnSession, number: int) -> bool:
        worker = self._state.workers.get(number)
        return worker is not None and worker.parent == session.worker

    async def _begin_spawn(self, session: SpawnSession, spawn: Spawn) -> None:
        """Start handling a request for workers, once not too many are under way."""
        if spawn.id <= session.newest:
            raise ProtocolError(f"request {spawn.id} came after {session.newest}")
        session.newest = spawn.id
        await session.requests.acquire()
        self._supervisor.own(self._spawn, session, spawn)

    async def _spawn(self, session: SpawnSession, spawn: Spawn) -> None:
        """Place workers for a service, and send it their numbers; it answers once it expects them."""
        try:
            spec = _read(spawn.module, spawn.options, session.worker)
            address = _read_address(spawn.module, spawn.address)
            group = await self._place(session, spec, spawn)
            session.placed[spawn.id] = PendingSpawn(group, address)
            answer = Spawned(spawn.id, group.first, None)
        except Exception as error:  # of any kind: it is the answer to the service
            answer = Spawned(spawn.id, None, SpawnRefusal.of(error, encode_error(error)))
        try:
            # Waits for room: a service that asks without end and never reads gets no further.
            await session.link.send_frame(*answer.encode())
        except ParcsError:
            pass  # its connection has ended, and its workers are dropped
        finally:
            session.requests.release()

    async def _place(self, session: SpawnSession, spec: WorkerSpec, spawn: Spawn) -> WorkerGroup:
        parent = self._state.workers.get(session.worker)
        depth = parent.depth + 1 if parent else 1
        self._policy.check(spec, spawn.workers, depth, self._state.spawned)
        numbers = self._state.number(spec.module, spawn.workers, session.worker)
        workers = [SpawnedWorker(spec.module, number, session, spawn.id) for number in numbers]
        return await self._supervisor.begin(spec, workers)


def _read(module: str, options: dict[Any, Any], parent: int) -> WorkerSpec:
    """
    Return the specification of the workers that a service requests; it may have sent anything.

    Raises:
        StartError: an option makes no sense, or only a runner may choose it.
        SettingError: an option has an impossible value.
    """
    if len(module) > _LONGEST:
        raise StartError(module[:_LONGEST], f"its name has {len(module):,} characters; {_LONGEST} is the limit")
    options = dict(options)
    target, together = options.pop("target", None), options.pop("together", 0)
    for name, value in options.items():
        option = OPTIONS.get(name) if type(name) is str else None
        if option is None or not option.types:
            is_name = type(name) is str and name.isidentifier() and len(name) <= _LONGEST_OPTION
            shown = f"{name}=" if is_name else f"the option {describe(name)}"
            raise StartError(module, f"{shown} can only be set by its runner, not by a service")
        if type(value) not in option.types or (type(value) in (int, float) and value > HIGHEST):
            raise StartError(module, f"{name}={describe(value)} is invalid")
    spec = WorkerSpec.make(module, parent=parent, **options)
    if target is not None:
        spec = spec._replace(target=read_target(target))
    if isinstance(together, int) and 0 < together <= HIGHEST:
        spec = spec._replace(together=together)
    check_for_service(spec)
    return spec


def _read_address(module: str, text: str) -> Address:
    if len(text) > _LONGEST:
        raise StartError(module, f"its service's address has {len(text):,} characters; {_LONGEST} is the limit")
    return Address.parse(text)
