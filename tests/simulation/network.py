"""Sockets in memory, as TCP has them: buffers of kernels, delays, resets, and networks that are cut."""

from __future__ import annotations

import asyncio
import errno
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aioparcs.address import Address
from tests.simulation.loop import Host, VirtualLoop, clock, host_of

__all__ = ["Connection", "Network", "SimulatedListener"]

# Bytes that the kernels of both sides hold of one direction, and what a program reads at once.
_CAPACITY, _CHUNK = 64 << 10, 16 << 10
_END, _RESET = object(), object()
_OnConnect = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Network:
    """
    Connects programs of several machines.

    Attributes:
        connections: those that both ends have not closed, in the order in which they were opened.
        latency: seconds that a piece takes at the most.
        is_plain: False for connections of which a reset loses what was not read, as with TLS.
    """

    def __init__(self, loop: VirtualLoop, latency: float, *, is_plain: bool) -> None:
        self.connections: dict[int, Connection] = {}
        self.latency = latency
        self.is_plain = is_plain
        self._loop = loop
        self._listeners: dict[int, SimulatedListener] = {}
        self._cuts: dict[str, int] = {}
        self._cut_since: dict[str, float] = {}
        self._still_since: dict[str, float] = {}

    def listen(self, on_connect: _OnConnect) -> SimulatedListener:
        """Listen on the machine of the present host."""
        port = self._loop.next_number()
        listener = self._listeners[port] = SimulatedListener(self, Address("tcp", host_of().machine, port), on_connect)
        return listener

    def forget(self, listener: SimulatedListener) -> None:
        """Refuse connections to a listener from now on."""
        self._listeners.pop(listener.address.port, None)

    async def connect(self, address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect the present host to a listener."""
        host = host_of()
        await asyncio.sleep(self.delay())
        while self.is_cut(host.machine, address.host):  # noqa: ASYNC110  # its kernel tries again, too
            await asyncio.sleep(1.0)
        listener = self._listeners.get(address.port)
        if listener is None or listener.host.is_dead:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        connection = Connection(self, host, listener.host)
        self.connections[connection.number] = connection
        listener.host.call(listener.accept, connection)
        return connection.ends[0].streams()

    def delay(self) -> float:
        """Return how long a piece takes."""
        return self._loop.random.random() * self.latency

    # What goes wrong

    def is_cut(self, one: str, other: str) -> bool:
        """Return whether nothing passes between two machines."""
        return one != other and bool(self._cuts.get(one) or self._cuts.get(other))

    def silence(self, one: str, other: str) -> float:
        """Return for how many seconds one machine has acknowledged nothing of the other."""
        if one == other:
            return 0.0
        since = [self._cut_since[name] for name in (one, other) if self._cuts.get(name)]
        since += [self._still_since[name] for name in (one, other) if self._is_still(name)]
        return clock.now - min(since, default=clock.now)

    def _is_still(self, machine: str) -> bool:
        return self._loop.still_until.get(machine, 0.0) > clock.now

    def cut(self, machine: str) -> None:
        """Stop all that passes from and to a machine until `heal`, silently."""
        if not self._cuts.get(machine):
            self._cut_since[machine] = clock.now
        self._cuts[machine] = self._cuts.get(machine, 0) + 1

    def heal(self, machine: str) -> None:
        """Undo a `cut`."""
        self._cuts[machine] -= 1
        self.resume()

    def stand_still(self, machine: str, seconds: float) -> None:
        """Stop a machine with its kernel; what is sent to it waits."""
        if not self._is_still(machine):
            self._still_since[machine] = clock.now
        self._loop.stand_still(machine, seconds)
        self._loop.later(seconds, self.resume)

    def passes(self, one: Host, other: Host) -> bool:
        """Return whether a piece from one host gets to the other now."""
        is_still = self._is_still(one.machine) or self._is_still(other.machine)
        return not is_still and not self.is_cut(one.machine, other.machine)

    def resume(self) -> None:
        """Deliver what was held back."""
        for connection in list(self.connections.values()):
            for end in connection.ends:
                end.fly()

    def expire(self, liveness: float) -> None:
        """Break the connections across a cut that has lasted for long, as keep-alive does."""
        for connection in list(self.connections.values()):
            one, other = connection.ends
            if self.silence(one.host.machine, other.host.machine) > liveness:
                for end in connection.ends:
                    end.receive_reset(OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))


class SimulatedListener:
    """What `aioparcs.transport.Listener` is to its user."""

    def __init__(self, network: Network, address: Address, on_connect: _OnConnect) -> None:
        self.address = address
        self.host = host_of()
        self._network = network
        self._on_connect = on_connect
        self._tasks: dict[asyncio.Task[None], None] = {}

    def accept(self, connection: Connection) -> None:
        """Accept a connection, as a callback of the listener's host."""
        if self._network._listeners.get(self.address.port) is not self:
            connection.ends[1].abort()
            return
        task = asyncio.ensure_future(self._serve(connection))
        self._tasks[task] = None
        task.add_done_callback(lambda task: self._tasks.pop(task, None))

    async def _serve(self, connection: Connection) -> None:
        await self._on_connect(*connection.ends[1].streams())

    async def aclose(self) -> None:
        """Close as the real one does."""
        self.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def close(self) -> None:
        """Close without waiting."""
        self._network.forget(self)
        for task in self._tasks:
            task.cancel()


class Connection:
    """One connection, with both of its ends: that which has dialled is the first."""

    def __init__(self, network: Network, dialler: Host, listener: Host) -> None:
        self.network = network
        self.number = dialler.loop.next_number()
        self.ends = End(self, dialler), End(self, listener)
        self.ends[0].peer, self.ends[1].peer = self.ends[1], self.ends[0]
        self.extra = 0.0  # seconds that each piece takes longer

    def reset(self) -> None:
        """Reset it, at both ends."""
        for end in self.ends:
            end.receive_reset(ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)))

    def ended(self) -> None:
        """Forget it once both ends are closed."""
        if all(end.is_gone for end in self.ends):
            self.network.connections.pop(self.number, None)


class End(asyncio.Transport):
    """One end: the transport that a program has, and the socket below it."""

    peer: End

    def __init__(self, connection: Connection, host: Host) -> None:
        super().__init__({"peername": "simulated", "sockname": "simulated"})
        self.host = host
        self.is_gone = False  # the socket is closed
        self.is_held = False  # what it sends doesn't arrive
        self.unread = bytearray()  # that has arrived here
        self._connection = connection
        self._loop = host.loop
        self._protocol: Any = None
        self._waiting = bytearray()  # in the program, for room in the kernel
        self._flight: deque[tuple[float, Any]] = deque()
        self._in_flight = 0
        self._reading = True
        self._due = False
        self._eof = self._eof_sent = self._eof_received = self._eof_delivered = False
        self._error: OSError | None = None
        self._closing = self._lost = False
        self._writing_paused = False
        self._high, self._low = 64 << 10, 16 << 10
        host.on_death.append(self._die)

    def streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return asyncio's streams of this end."""
        reader = asyncio.StreamReader(loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self._loop)
        self.set_protocol(protocol)
        protocol.connection_made(self)
        self._wake()
        return reader, asyncio.StreamWriter(self, protocol, reader, self._loop)

    # What a program asks of a transport

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def is_reading(self) -> bool:
        return self._reading

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._closing:
            self._reading = True
            self._wake()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._closing or not len(data):
            return
        if self._error is not None:
            self._fail(self._error)
            return
        self._waiting += data
        self._pump()
        if len(self._waiting) > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def write_now(self, data: bytes) -> None:
        """Write to the socket, past the transport, as a thread does."""
        if not self.is_gone and self._error is None:
            self._send(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._eof:
            self._eof = True
            self._pump()

    def get_write_buffer_size(self) -> int:
        return len(self._waiting)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        high = 64 << 10 if high is None else high
        self._high, self._low = high, high // 4 if low is None else low

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing, self._reading = True, False
            if not self._waiting:
                self._end(None)

    def abort(self) -> None:
        self._fail(None)

    def hold(self, seconds: float) -> None:
        """Hold what this end sends for some seconds."""
        self.is_held = True
        self._loop.later(seconds, self._release)

    def _release(self) -> None:
        self.is_held = False
        self.fly()

    def silence(self) -> float:
        """Return for how many seconds the other machine has acknowledged nothing."""
        return self._connection.network.silence(self.host.machine, self.peer.host.machine)

    def drain_socket(self) -> tuple[bytes, bool]:
        """Return what has arrived and was not read, and whether that is all that the peer has sent."""
        if not self._connection.network.is_plain:
            return b"", False
        held = bytes(self.unread)
        self.unread.clear()
        return held, self._error is not None or self._eof_received

    # The program's side of its end

    def _fail(self, error: OSError | None) -> None:
        self._waiting.clear()
        self._closing, self._reading = True, False
        self._end(error)

    def _end(self, error: OSError | None) -> None:
        if not self._lost:
            self._lost = True
            self._loop.call_soon(self._report_lost, error, context=self.host.context)

    def _report_lost(self, error: OSError | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._close_socket()

    def _close_socket(self) -> None:
        if not self.is_gone:
            self.is_gone = True
            if self.unread:
                self._reset_peer()
            elif not self._eof_sent:
                self._eof_sent = True
                self._fly_later(_END)
            self._connection.ended()

    def _die(self) -> None:
        """Close the socket of a process that has ended."""
        self._closing = self._lost = True
        self._waiting.clear()
        self._close_socket()

    # The kernels

    @property
    def _room(self) -> int:
        return _CAPACITY - self._in_flight - len(self.peer.unread)

    def _pump(self) -> None:
        """Pass on what there is room for."""
        if self._waiting and (room := self._room) > 0:
            data = bytes(self._waiting[:room])
            del self._waiting[:room]
            self._send(data)
        if not self._waiting and (self._eof or self._closing) and not self._eof_sent:
            if self._eof:
                self._eof_sent = True
                self._fly_later(_END)
            if self._closing:
                self._end(None)

    def _send(self, data: bytes) -> None:
        self._in_flight += len(data)
        self._fly_later(data)

    def _fly_later(self, piece: Any) -> None:
        when = clock.now + self._connection.network.delay() + self._connection.extra
        if self._flight:
            when = max(when, self._flight[-1][0])
        self._flight.append((when, piece))
        self._loop.later(when - clock.now, self.fly)

    def fly(self) -> None:
        """Deliver what is due by now, unless the network is cut."""
        flight, network = self._flight, self._connection.network
        while flight and flight[0][0] <= clock.now and not self.is_held and network.passes(self.host, self.peer.host):
            piece = flight.popleft()[1]
            if piece is _END:
                self.peer._eof_received = True
                self.peer._wake()
            elif piece is _RESET:
                self.peer.receive_reset(ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)))
            else:
                self._in_flight -= len(piece)
                self.peer._arrive(piece)

    def _arrive(self, data: bytes) -> None:
        if self.is_gone:
            if self.peer._error is None:
                self._reset_peer()
        else:
            self.unread += data
            self._wake()

    def _reset_peer(self) -> None:
        """Reset the connection; what does not get through just now is never sent again."""
        if self.is_held or not self._connection.network.passes(self.host, self.peer.host):
            kept = [piece for piece in self._flight if piece[1] in (_END, _RESET)]
            self._flight.clear()
            self._flight.extend(kept)
            self._in_flight = 0
        self._fly_later(_RESET)

    def receive_reset(self, error: OSError) -> None:
        """Fail this end once what has arrived is read, or at its next write."""
        if not self.is_gone and self._error is None:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        """Schedule a look at what there is to read."""
        if not self._due and not self._lost and self._protocol is not None:
            self._due = True
            self.host.call(self._read)

    def _read(self) -> None:
        self._due = False
        if not self._reading or self._lost:
            if self._closing and self._error is not None and not self._lost:
                self._fail(self._error)  # what is still to be written meets it
            return
        if self.unread:
            self._deliver()
            self.peer.host.call(self.peer._continue)
        elif self._error is not None:
            self._fail(self._error)
        elif self._eof_received and not self._eof_delivered:
            self._eof_delivered = True
            if not self._protocol.eof_received():
                self.close()
        if (self.unread or self._error or (self._eof_received and not self._eof_delivered)) and self._reading:
            self._wake()

    def _deliver(self) -> None:
        size = 1 + int(self._loop.random.random() * _CHUNK)
        if isinstance(self._protocol, asyncio.BufferedProtocol):
            memory = self._protocol.get_buffer(-1)
            size = min(size, len(memory), len(self.unread))  # type: ignore[arg-type]
            memory[:size] = self.unread[:size]  # type: ignore[index]
            del self.unread[:size]
            self._protocol.buffer_updated(size)
        else:
            data = bytes(self.unread[:size])
            del self.unread[:size]
            self._protocol.data_received(data)

    def _continue(self) -> None:
        """Write on: the peer has read something."""
        if self._lost:
            return
        self._pump()
        if self._writing_paused and len(self._waiting) <= self._low:
            self._writing_paused = False
            self._protocol.resume_writing()
