"""The runner's side of incoming connections: their handshake, and the worker or launcher that each belongs to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from aioparcs.auth import TOKEN_SIZE, Hello, Role, unexpected
from aioparcs.channel import Acceptor, Channel, FrameConnection, control_link
from aioparcs.errors import StartError
from aioparcs.events import EventBus, Notice
from aioparcs.messages.fields import describe
from aioparcs.runner.launchers import LauncherClient, StackRequests
from aioparcs.runner.state import JobState, LauncherPhase, WorkerPhase
from aioparcs.settings import Settings
from aioparcs.task import TaskTrace, WorkerHandle, check_file_limit
from aioparcs.transport import keep_alive

if TYPE_CHECKING:
    from aioparcs.runner.spawned import SpawnedWorker, SpawnSession

__all__ = ["Incoming", "JobRegistry"]


class Incoming(NamedTuple):
    """
    A connection that was accepted.

    Attributes:
        role: what its peer is, an `auth.Role`: a launcher and a parent have a control connection, others a channel.
        number: the launcher's slot, or the worker's number.
        connection: the connection.
        peer: what the peer has said of itself.
    """

    role: str
    number: int
    connection: FrameConnection | Channel
    peer: Hello


class JobRegistry:
    """
    The runner's side of every connection.

    Args:
        job: the job's name.
        state: the job's state, which says what may connect.
        settings: limits and deadlines.
        events: gets notices of connections that are refused.

    Attributes:
        job: the job's name.
        token: the job's secret.
        tasks: the runner's own workers that are expected or connected, by number.
        workers: the handles of all workers that have not ended, by number.
        launchers: the launchers that are connected, by slot.
        stacks: the requests for stacks of workers.
        sessions: the services that start services, by their workers' numbers.
    """

    def __init__(self, job: str, state: JobState, settings: Settings, events: EventBus) -> None:
        self.job = job
        self.token = os.urandom(TOKEN_SIZE)
        self.tasks: dict[int, WorkerHandle] = {}
        self.workers: dict[int, WorkerHandle | SpawnedWorker] = {}
        self.launchers: dict[int, LauncherClient] = {}
        self.stacks = StackRequests(self.launchers, state)
        self.sessions: dict[int, SpawnSession] = {}
        self._state = state
        self._settings = settings
        self._events = events
        self._acceptor = Acceptor(Role.RUNNER, job, -1, self.token, settings, self)
        self._prune_at = 256
        self._trace: TaskTrace | None = None

    @property
    def rejected_connections(self) -> int:
        """The number of connections that were refused so far."""
        return self._acceptor.rejected_connections

    @property
    def _connections(self) -> int:
        """The number of connections that exist or are expected, without those of launchers."""
        return sum(not task.is_over for task in self.tasks.values()) + len(self.sessions)

    def check_file_limit(self, module: str, count: int) -> None:
        """
        Raise an error for more workers than this process can have connections.

        Raises:
            StartError: the limit of open files is lower.
        """
        try:  # most starts are far from it: those that are over need not be told from the others then
            check_file_limit(module, len(self.tasks) + len(self.sessions) + count)
        except StartError:
            check_file_limit(module, self._connections + count)

    def expect(self, tasks: list[WorkerHandle]) -> None:
        """Register workers that are about to be started."""
        self.tasks.update((task.worker, task) for task in tasks)
        if self._trace is None and self._events.wants_calls:
            self._trace = TaskTrace(self._events)
        for task in tasks:
            task.trace = self._trace
        if len(self.tasks) > self._prune_at:  # a runner may start workers for days
            self.tasks = {number: task for number, task in self.tasks.items() if not task.is_over}
            self._prune_at = 2 * len(self.tasks) + 256

    def publish_calls(self) -> None:
        """Publish the last calls of tasks, if a subscriber wants calls."""
        if self._trace is not None:
            self._trace.close()

    def remove(self, tasks: list[WorkerHandle]) -> None:
        """Remove workers that will not connect."""
        for task in tasks:
            self.tasks.pop(task.worker, None)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Incoming | None:
        """Shake hands with a peer; return its connection, or None when it was refused."""
        peer = await self._acceptor.accept(reader, writer)
        if peer is None:
            return None
        if peer.role in (Role.LAUNCHER, Role.PARENT):
            keep_alive(writer.transport, self._settings.liveness, user_timeout=peer.role == Role.LAUNCHER)
            link = control_link(reader, writer, self._settings)
            return Incoming(peer.role, peer.worker, link, peer)
        if peer.role == Role.WORKER:
            # No user timeout: it would end the connection of a worker that reads slowly.
            keep_alive(writer.transport, self._settings.liveness, user_timeout=False)
        return Incoming(peer.role, peer.worker, self._open(peer, reader, writer), peer)

    def close(self) -> None:
        """Report the refused connections that have not been reported yet: no more will come."""
        self._acceptor.close()

    # What the acceptor asks

    def report(self, line: str) -> None:
        """Publish a line about connections that are refused."""
        self._events.publish(Notice(monotonic(), "runner", line, is_warning=True))

    def is_ending(self, peer: Hello) -> bool:
        """Return whether a peer claims to be a worker that was ended, or a launcher that has no worker left."""
        if peer.job != self.job:
            return False
        if peer.role == Role.LAUNCHER:
            launcher = self._state.launchers.get(peer.worker)
            return launcher is not None and not launcher.started
        task, worker = self.tasks.get(peer.worker), self._state.workers.get(peer.worker)
        is_ended = task is not None and (task.state == "gone" or task.start_error is not None)
        return is_ended or (worker is not None and worker.signal != 0)

    def trace_context(self, peer: Hello) -> Mapping[str, str] | None:
        """Return the trace context in which a worker was started."""
        task = self.tasks.get(peer.worker)
        return task.trace_context if task is not None and peer.role == Role.WORKER else None

    def refusal_reason(self, peer: Hello) -> str | None:
        """Return why a peer that knows the token is refused, or None."""
        if peer.job != self.job:
            return f"this is job {self.job}, not {describe(peer.job)}"
        if peer.role == Role.PARENT:
            return self._parent_refusal_reason(peer)
        if peer.role == Role.LAUNCHER:
            return self._launcher_refusal_reason(peer)
        task, worker = self.tasks.get(peer.worker), self._state.workers.get(peer.worker)
        is_placed = worker is None or worker.phase is not WorkerPhase.NUMBERED
        if task is None or not is_placed or peer.role not in (Role.WORKER, Role.RELAY):
            return unexpected(peer)
        if peer.role == Role.RELAY or not task.is_connected:
            return None
        return f"worker {peer.worker} {'has ended' if task.state == 'gone' else 'is already connected'}"

    def _launcher_refusal_reason(self, peer: Hello) -> str | None:
        launcher = self._state.launchers.get(peer.worker)
        if launcher is None or launcher.is_original:
            return unexpected(peer)
        if launcher.phase is LauncherPhase.STARTING:
            return None
        if launcher.has_connection:
            return f"launcher {peer.worker} is already connected"
        return f"launcher {peer.worker} {'has ended' if launcher.end else 'counts as lost'}"

    def _parent_refusal_reason(self, peer: Hello) -> str | None:
        worker = self._state.workers.get(peer.worker)
        if worker is None or worker.launcher < 0:
            return unexpected(peer)
        if peer.worker in self.sessions:
            return f"parent {peer.worker} is already connected"
        if worker.is_over:
            return f"worker {peer.worker} may start no more workers: its connection for that has ended"
        try:
            self.check_file_limit(worker.module, 1)
        except StartError as error:
            return f"the runner has no room: {error.reason}"
        return None

    def _open(self, peer: Hello, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Channel:
        limits = (peer.max_body, peer.max_buffers)
        channel = Channel(reader, writer, settings=self._settings, peer_limits=limits, peer_memory=peer.memory)
        channel.connection.extensions = peer.extensions
        channel.connection.tracing = peer.tracing
        channel.relays.is_supported = peer.relays
        channel.relays.refuse()
        return channel
