"""The runner's side of services that start services: their limits, their requests, and the end of their workers."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from time import monotonic
from typing import Any, NamedTuple

from aioparcs import deadlines
from aioparcs.address import Address
from aioparcs.channel import FrameConnection, encode_error
from aioparcs.engine import WorkerSpec
from aioparcs.engine.options import OPTIONS, check_for_service
from aioparcs.errors import EndOfChannel, ParcsError, ProtocolError, StartError
from aioparcs.events import EventBus, Notice, WorkerConnected
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
from aioparcs.runner.supervisor import WorkerSupervisor
from aioparcs.settings import Settings

__all__ = ["SpawnPolicy", "SpawnServer"]

# Characters of a module's name, which may be an image reference, or of an address.
_LONGEST = 1000
_LONGEST_OPTION = 60  # characters of one that doesn't exist


class SpawnPolicy(NamedTuple):
    """
    The limits of what services may start.

    Attributes:
        modules: the modules, or None for all that have a bare name.
        depth: see `Settings.max_depth`.
        workers: see `Settings.max_spawned`.
    """

    modules: frozenset[str] | None
    depth: int
    workers: int

    def check(self, module: str, count: int, depth: int, there: int) -> None:
        """
        Check a request against the limits.

        Args:
            module: what a service wants to start.
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
        elif self.modules is not None and module not in self.modules:
            named = ", ".join(sorted(self.modules)) or "none"
            reason = f"its runner lets services start {named}: add it to Runner(spawnable=...)"
        elif self.modules is None and ("/" in module or ":" in module):
            reason = "services start modules by their names; a runner that means this image says Runner(spawnable=...)"
        else:
            return
        raise StartError(module, reason)


class SpawnServer:
    """
    All services of a job that start services.

    Each has a control connection of its own to the runner. When that ends, or the worker does, all its descendants
    are killed, to any depth.

    Args:
        registry: accepts their connections.
        supervisor: places what they ask for.
        policy: the limits of what they may start.
        events: gets the job's events.
    """

    def __init__(
        self, registry: JobRegistry, supervisor: WorkerSupervisor, policy: SpawnPolicy, events: EventBus
    ) -> None:
        self._registry = registry
        self._supervisor = supervisor
        self._policy = policy
        self._events = events
        self._spawned: set[int] = set()
        registry.on_parent = self._begin
        supervisor.on_end = self._forget

    def _begin(self, worker: int, link: FrameConnection) -> None:
        """Start serving the control connection of a service that wants to start its first worker."""
        record = self._registry.find(worker)
        depth = record.branch.depth + 1 if isinstance(record, SpawnedWorker) else 1
        # As many requests as there may be workers, and one that will be refused.
        branch = SpawnSession(worker, depth, link, self._policy.workers + 1)
        self._registry.branches[worker] = branch
        self._supervisor.own(self._serve(branch))

    def _forget(self, worker: int) -> None:
        """Remove a worker that has ended, and kill what it has started."""
        self._spawned.discard(worker)
        branch = self._registry.branches.pop(worker, None)
        if branch:
            self._cut(branch)

    def _cut(self, branch: SpawnSession) -> None:
        """Kill all descendants of a worker, once."""
        if branch.is_over:
            return
        branch.is_over = True
        branch.link.abort()
        for placed in branch.placed.values():
            self._supervisor.drop(placed.group, placed.children)
        branch.placed.clear()
        for child in list(branch.children.values()):
            self._supervisor.kill(child, signal.SIGKILL)
            if grown := self._registry.branches.get(child.worker):
                self._cut(grown)
        self._supervisor.forget(branch.worker)

    async def _serve(self, branch: SpawnSession) -> None:
        """Read a service's requests until its connection ends."""
        try:
            while True:
                await self._handle(branch, read_spawn_request(await branch.link.recv_frame()))
        except EndOfChannel:
            await branch.link.aclose(deadlines.FAREWELL)
        except ProtocolError as error:
            text = f"worker {branch.worker} broke its connection: {error}"
            self._events.publish(Notice(monotonic(), "runner", text, is_warning=True))
        except ParcsError:
            pass  # the end of the connection, whose reason is the worker's affair
        finally:
            self._cut(branch)

    async def _handle(self, branch: SpawnSession, request: SpawnRequest) -> None:
        match request:
            case Spawn():
                await self._begin_spawn(branch, request)
            case SpawnExpected():
                placed = branch.placed.pop(request.id, None)
                if placed is None:
                    raise ProtocolError(f"request {request.id} is not waiting for workers")
                self._supervisor.ask(placed.group, placed.children, placed.address)
            case ChildConnected():
                child = branch.children.get(request.worker)
                if child and not child.is_connected:
                    child.is_connected = True
                    self._events.publish(WorkerConnected(monotonic(), child.module, child.worker))
            case KillChild() if request.worker in branch.children:
                self._supervisor.kill(branch.children[request.worker], request.signal)

    async def _begin_spawn(self, branch: SpawnSession, spawn: Spawn) -> None:
        """Start handling a request for workers, once not too many are under way."""
        if spawn.id <= branch.newest:
            raise ProtocolError(f"request {spawn.id} came after {branch.newest}")
        branch.newest = spawn.id
        await branch.requests.acquire()
        self._supervisor.own(self._spawn(branch, spawn))

    async def _spawn(self, branch: SpawnSession, spawn: Spawn) -> None:
        """Place workers for a service, and send it their numbers; it answers once it expects them."""
        try:
            spec = _read(spawn.module, spawn.options, branch.worker)
            address = _read_address(spawn.module, spawn.address)
            children = await self._place(branch, spec, spawn.workers, spawn.id, address)
            answer = Spawned(spawn.id, children[0].worker, None)
        except Exception as error:  # of any kind: it is the answer to the service
            answer = Spawned(spawn.id, None, SpawnRefusal.of(error, encode_error(error)))
        try:
            # Waits for room: a service that asks without end and never reads gets no further.
            await branch.link.send_frame(*answer.encode())
        except ParcsError:
            pass  # its connection has ended, and its workers are dropped
        finally:
            branch.requests.release()

    async def _place(
        self, branch: SpawnSession, spec: WorkerSpec, count: int, request: int, address: Address
    ) -> list[SpawnedWorker]:
        self._policy.check(spec.module, count, branch.depth + 1, len(self._spawned))
        first = self._supervisor.reserve(count)
        children = [SpawnedWorker(spec.module, first + i, branch) for i in range(count)]
        numbers = range(first, first + count)
        self._spawned.update(numbers)
        try:
            group = await self._supervisor.begin(spec, children)
        except BaseException:
            self._spawned.difference_update(numbers)
            raise
        branch.children.update(zip(numbers, children, strict=True))
        if branch.is_over:  # any more
            self._supervisor.drop(group, children)
        else:
            branch.placed[request] = PendingSpawn(group, children, address)
        return children


def spawn_policy(modules: Iterable[str] | None, settings: Settings) -> SpawnPolicy:
    """Return the limits that a runner's arguments and settings define."""
    return SpawnPolicy(None if modules is None else frozenset(modules), settings.max_depth, settings.max_spawned)


def _read(module: str, options: dict[Any, Any], parent: int) -> WorkerSpec:
    """
    Return the specification of the workers that a service asks for; it may have sent anything.

    Raises:
        StartError: an option makes no sense, or only a runner may choose it.
        SettingError: an option has an impossible value.
    """
    if len(module) > _LONGEST:
        raise StartError(module[:_LONGEST], f"its name has {len(module):,} characters; {_LONGEST} is the limit")
    for name, value in options.items():
        option = OPTIONS.get(name) if type(name) is str else None
        if option is None or not option.types:
            is_name = type(name) is str and name.isidentifier() and len(name) <= _LONGEST_OPTION
            shown = f"{name}=" if is_name else f"the option {describe(name)}"
            raise StartError(module, f"{shown} is for its runner to choose, not for a service")
        if type(value) not in option.types or (type(value) in (int, float) and value > HIGHEST):
            raise StartError(module, f"{name}={describe(value)} makes no sense")
    spec = WorkerSpec.make(module, parent=parent, **options)
    check_for_service(spec)
    return spec


def _read_address(module: str, text: str) -> Address:
    if len(text) > _LONGEST:
        raise StartError(module, f"its service's address has {len(text):,} characters; {_LONGEST} is the limit")
    return Address.parse(text)
