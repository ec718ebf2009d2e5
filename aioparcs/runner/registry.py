"""The runner's side of incoming connections: their handshake, and the worker or launcher that each belongs to."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from time import monotonic
from typing import Any

from aioparcs.auth import TOKEN_SIZE, Hello, Role, unexpected
from aioparcs.channel import Acceptor, Channel, FrameConnection, control_link, serve_relay
from aioparcs.errors import StartError
from aioparcs.events import EventBus, Notice, WorkerConnected
from aioparcs.messages.fields import describe
from aioparcs.runner.launcher_client import LauncherClient, Worker
from aioparcs.runner.spawned import SpawnSession
from aioparcs.settings import Settings
from aioparcs.task import WorkerHandle, check_file_limit
from aioparcs.transport import keep_alive

__all__ = ["JobRegistry"]


class JobRegistry:
    """
    The runner's side of every connection.

    Args:
        job: the job's name.
        settings: limits and deadlines.
        events: gets the job's events.

    Attributes:
        job: the job's name.
        token: the job's secret.
        tasks: the workers that are expected or connected, by number.
        launchers: the launchers that are expected or connected, by slot.
        branches: the services that start services, by their workers' numbers.
        on_parent: called with the number of a worker, and the control connection that it has opened.
    """

    def __init__(self, job: str, settings: Settings, events: EventBus) -> None:
        self.job = job
        self.token = secrets.token_bytes(TOKEN_SIZE)
        self.tasks: dict[int, WorkerHandle] = {}
        self.launchers: dict[int, LauncherClient] = {}
        self.branches: dict[int, SpawnSession] = {}
        self.on_parent: Callable[[int, FrameConnection], object]
        self._settings = settings
        self._events = events
        self._acceptor = Acceptor(Role.RUNNER, job, -1, self.token, settings, self)
        self._prune_at = 256

    @property
    def rejected_connections(self) -> int:
        """The number of connections that were refused so far."""
        return self._acceptor.rejected_connections

    @property
    def connections(self) -> int:
        """The number of connections that exist or are expected, without those of launchers."""
        return sum(not task.is_over for task in self.tasks.values()) + len(self.branches)

    def expect(self, tasks: list[WorkerHandle]) -> None:
        """Register workers that are about to be started."""
        self.tasks.update((task.worker, task) for task in tasks)
        if len(self.tasks) > self._prune_at:  # a runner may start workers for days
            self.tasks = {number: task for number, task in self.tasks.items() if not task.is_over}
            self._prune_at = 2 * len(self.tasks) + 256

    def forget(self, tasks: list[WorkerHandle]) -> None:
        """Remove workers that will not connect."""
        for task in tasks:
            self.tasks.pop(task.worker, None)

    def find(self, worker: int) -> Worker | None:
        """Return the live worker of a number, started by the runner or by a service, or None."""
        return next((one.tasks[worker] for one in self.launchers.values() if worker in one.tasks), None)

    async def handle_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle a new connection: hand it to the worker or launcher that it belongs to, or close it."""
        peer = await self._acceptor.accept(reader, writer)
        if peer is None:
            return
        if peer.role == Role.RELAY:
            await serve_relay(self._open(peer, reader, writer), self._settings.handshake_timeout)
            return
        self._attach(peer, reader, writer)

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
            launcher = self.launchers.get(peer.worker)
            return launcher is not None and not launcher.tasks
        task = self.tasks.get(peer.worker)
        is_ended = task is not None and (task.state == "gone" or task.start_error is not None)
        return is_ended or any(launcher.is_stopping(peer.worker) for launcher in self.launchers.values())

    def refusal_reason(self, peer: Hello) -> str | None:
        """Return why a peer that knows the token is refused, or None."""
        if peer.job != self.job:
            return f"this is job {self.job}, not {describe(peer.job)}"
        if peer.role == Role.PARENT:
            return self._parent_refusal_reason(peer)
        places: dict[int, Any] = self.launchers if peer.role == Role.LAUNCHER else self.tasks
        place = places.get(peer.worker)
        if place is None or peer.role not in (Role.LAUNCHER, Role.WORKER, Role.RELAY):
            return unexpected(peer)
        if peer.role == Role.RELAY:
            return None
        if place.is_connected:
            return f"{peer.role} {peer.worker} is already connected"
        return None

    def _parent_refusal_reason(self, peer: Hello) -> str | None:
        worker = self.find(peer.worker)
        if worker is None or peer.worker in self.branches:
            return unexpected(peer)
        try:
            check_file_limit(worker.module, self.connections + 1)
        except StartError as error:
            return f"the runner has no room: {error.reason}"
        return None

    def _attach(self, peer: Hello, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if peer.role == Role.LAUNCHER:
            keep_alive(writer.transport, self._settings.liveness, user_timeout=True)
            self.launchers[peer.worker].connect(control_link(reader, writer, self._settings))
            return
        # No user timeout: it would end the connection of a worker that reads slowly.
        keep_alive(writer.transport, self._settings.liveness, user_timeout=False)
        if peer.role == Role.PARENT:
            self.on_parent(peer.worker, control_link(reader, writer, self._settings))
            return
        task = self.tasks[peer.worker]
        channel = self._open(peer, reader, writer)
        if not task.connect(channel):
            channel.abort()  # it was given up during its handshake
            return
        self._events.publish(WorkerConnected(monotonic(), task.module, task.worker))

    def _open(self, peer: Hello, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Channel:
        limits = (peer.max_body, peer.max_buffers)
        channel = Channel(reader, writer, settings=self._settings, peer_limits=limits)
        channel.relays.is_supported = peer.relays
        channel.relays.refuse()
        return channel
