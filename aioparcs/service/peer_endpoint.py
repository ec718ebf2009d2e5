"""The endpoint of a worker for its peers: its own listener, opened at its first use."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from weakref import WeakSet

from aioparcs.address import Address
from aioparcs.auth import Hello, Role, unexpected
from aioparcs.channel import Acceptor, Channel, FrameConnection, reach, serve_relay
from aioparcs.errors import ConnectionLost, HandshakeError, SettingError
from aioparcs.launcher.context import RunnerEndpoint
from aioparcs.launcher.reports import PEER_CLOSED, PEER_OPENED, REPORT
from aioparcs.messages.fields import describe
from aioparcs.settings import Settings
from aioparcs.transport import Listener, keep_alive, listen, source_address, wait_silent

if TYPE_CHECKING:  # most services start no workers
    from aioparcs.task import WorkerHandle

__all__ = ["PeerEndpoint"]

# Peers that may have dialled and wait to be accepted.
_WAITING = 1024
_NO_OVERLAY = (
    "other workers can't reach this worker, which is not on their network: run the runner inside the overlay network "
    "(aioparcs run --on swarm), or have workers join it with SwarmEngine(overlay=True)"
)


class PeerEndpoint:
    """
    The connections of a worker to other workers, and theirs to it. It costs nothing before its first use.

    Args:
        runner: the runner's address, and the job's token.
        settings: limits and deadlines.
        worker: this worker's number.
        reports: the descriptor that reports for its launcher are written to, -1 for none.

    Attributes:
        runner, settings, worker: as they were given.
    """

    def __init__(self, runner: RunnerEndpoint, settings: Settings, worker: int, reports: int = -1) -> None:
        self.runner = runner
        self.settings = settings
        self.worker = worker
        self._reports = reports
        self._listener: Listener | None = None
        self._expected: dict[int, WorkerHandle] = {}
        self._given_up: deque[int] = deque(maxlen=_WAITING)
        # Not in a task group: a watch outlives the task that opened its channel, and `abort` ends all without waiting.
        self._watching: set[asyncio.Task[None]] = set()

    # Made when they are used: most workers have no peers, and each would pay for them.

    @cached_property
    def _acceptor(self) -> Acceptor:
        return Acceptor(Role.PEER, self.runner.job, self.worker, self.runner.token, self.settings, self)

    @cached_property
    def _opening(self) -> asyncio.Lock:
        return asyncio.Lock()

    @cached_property
    def _dialled(self) -> asyncio.Queue[Channel]:
        return asyncio.Queue()

    @cached_property
    def _open(self) -> WeakSet[FrameConnection]:
        return WeakSet()  # an open one is held by its transport

    @property
    def is_open(self) -> bool:
        """True when there is something to close."""
        return self._listener is not None or ("_open" in vars(self) and bool(self._open)) or bool(self._watching)

    async def address(self) -> Address:
        """
        Return the address that peers dial; the first call starts listening there.

        Raises:
            SettingError: this worker is on no network in which others can reach it; or the job uses TLS, and
                ``cryptography`` is not installed here.
            ConnectionLost: this host can't listen.
        """
        async with self._opening:
            if self._listener is None:
                tls, timeout = bool(self.runner.address.fingerprint), self.settings.handshake_timeout
                self._listener = await listen(self._place(), self._receive, tls=tls, handshake_timeout=timeout)
        return self._listener.address

    async def accept(self) -> Channel:
        """Wait for the next peer that dials, in order of arrival. Cancelling it leaves the peer first in line."""
        await self.address()
        return await self._dialled.get()

    def expect(self, handle: WorkerHandle) -> None:
        """Register the handle of a worker that will connect here: it gets the channel."""
        self._expected[handle.worker] = handle

    def forget(self, worker: int) -> None:
        """Remove a worker from those that are expected."""
        if self._expected.pop(worker, None):
            self._given_up.append(worker)

    async def connect(self, address: Address, timeout: float | None = None, *, role: str = Role.PEER) -> Channel:
        """
        Dial a peer. Cancelling it leaves no connection behind.

        Args:
            address: what the peer's `address` has given.
            timeout: seconds for dialling; by default ``connect_timeout``, and longer while the network has no route.
            role: what this worker comes as, an `auth.Role`.

        Raises:
            ConnectionLost: the peer is gone, or can't be reached from here.
            HandshakeError: it is another one, or refused this worker.
        """
        who = f"worker {address.worker}" if address.worker >= 0 else "the runner"

        hello = Hello.of(role, self.runner.job, self.worker, self.settings)
        try:
            reader, writer, peer = await reach(address, hello, self.runner.token, self.settings, timeout)
        except ConnectionLost as error:
            raise ConnectionLost(f"{who} is gone, or can't be reached from here: {error}") from error
        except HandshakeError as error:
            raise HandshakeError(f"{who} at {address}: {error}") from error
        if peer.worker != address.worker:
            writer.transport.abort()
            raise HandshakeError(f"{who} at {address}: worker {peer.worker} listens there now")
        if role == Role.RELAY:  # its messages are pieces of one that lies elsewhere
            peer = peer._replace(memory=None)
        channel = self._channel(peer, reader, writer)
        if role == Role.PEER:
            self._report(PEER_OPENED, peer.worker)
            channel.connection.ended.add_done_callback(lambda _: self._report(PEER_CLOSED, peer.worker))
        return channel

    async def aclose(self) -> None:
        """
        Stop listening, and end every peer's channel gracefully: what was sent is delivered first.

        It takes as long as the slowest peer takes to read. Peers that were not accepted are cut off. Cancelling it
        ends all at once.
        """
        if self._listener:
            await self._listener.aclose()
        while not self._dialled.empty():
            self._dialled.get_nowait().abort()
        try:
            await asyncio.gather(*(connection.aclose(None) for connection in self._open))
        finally:
            self.abort()

    def abort(self) -> None:
        """Abort every peer's channel, and close the listener."""
        for watch in self._watching:
            watch.cancel()
        for connection in vars(self).get("_open", ()):
            connection.abort()
        if self._listener:
            self._acceptor.close()
            self._listener.close()

    def _place(self) -> Address:
        """Return the place to listen: wherever this worker reaches its runner, or on the network of the peers."""
        address = self.runner.address
        if address.scheme == "unix":
            return Address("unix", "@", 0, self.worker)
        if self.runner.peers is None:
            return Address("tcp", source_address(address.host), 0, self.worker)
        for subnet in map(ip_network, filter(None, self.runner.peers.split(","))):
            own = source_address(str(subnet[1]))
            if own and ip_address(own) in subnet:
                return Address("tcp", own, 0, self.worker)
        raise SettingError(_NO_OVERLAY)

    def is_ending(self, peer: Hello) -> bool:
        """Return True for a peer that says it is a worker of this one's: its end is reported by the runner."""
        is_child = peer.role == Role.WORKER and (peer.worker in self._expected or peer.worker in self._given_up)
        return peer.job == self.runner.job and is_child

    def report(self, line: str) -> None:
        """Print a line about connections that are refused."""
        print(line, file=sys.stderr)

    def trace_context(self, peer: Hello) -> Mapping[str, str] | None:
        """Return the trace context in which this worker has started another one."""
        handle = self._expected.get(peer.worker)
        return handle.trace_context if handle is not None and peer.role == Role.WORKER else None

    def refusal_reason(self, peer: Hello) -> str | None:
        """Return why a peer that knows the token is refused, or None."""
        if peer.job != self.runner.job:
            return f"this is job {self.runner.job}, not {describe(peer.job)}"
        if peer.role == Role.RELAY or (peer.role == Role.WORKER and peer.worker in self._expected):
            return None
        if peer.role != Role.PEER:
            return unexpected(peer)
        if self._dialled.qsize() >= _WAITING:
            return f"{_WAITING} peers have dialled that worker {self.worker} has not accepted"
        return None

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = await self._acceptor.accept(reader, writer)
        if peer is None:
            return
        if peer.role == Role.RELAY:
            await serve_relay(self._channel(peer, reader, writer), self.settings.handshake_timeout)
            return
        if peer.role == Role.PEER:
            self._dialled.put_nowait(self._channel(peer, reader, writer))
            return
        handle = self._expected.pop(peer.worker, None)
        if handle is None:  # it was given up while it shook hands
            writer.transport.abort()
        elif not handle.connect(channel := self._channel(peer, reader, writer)):
            channel.abort()  # the same, but it is not removed yet

    def _channel(self, peer: Hello, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Channel:
        keep_alive(writer.transport, self.settings.liveness, user_timeout=False)
        limits = peer.max_body, peer.max_buffers
        channel = Channel(
            reader, writer, settings=self.settings, peer_limits=limits, peer=peer.worker, peer_memory=peer.memory
        )
        channel.connection.extensions = peer.extensions
        channel.connection.tracing = peer.tracing
        channel.relays.is_supported = peer.relays
        channel.relays.refuse()
        self._open.add(channel.connection)
        if self.runner.address.scheme == "tcp":  # the kernel reports the end of a process, but not of a host
            watch = asyncio.ensure_future(self._watch(channel, writer.transport))
            self._watching.add(watch)
            watch.add_done_callback(self._watching.discard)
        return channel

    def _report(self, kind: int, peer: int) -> None:
        """Report a channel that this worker has opened to its launcher, which may have to show it; never wait."""
        with suppress(OSError):  # a full pipe, or none
            os.write(self._reports, REPORT.pack(kind, self.worker, peer, 0))

    async def _watch(self, channel: Channel, transport: asyncio.WriteTransport) -> None:
        liveness = self.settings.liveness
        if await wait_silent(transport, liveness):
            silent = f"the host of worker {channel.peer} was silent for {liveness:g} s (PARCS_LIVENESS)"
            channel.abort(ConnectionLost(silent))
