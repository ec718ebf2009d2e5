"""A transport in memory: what a socket's transport does, over lines that a test controls."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["CAPACITY", "Line", "MemoryTransport"]

# What a direction holds on its way, and what is delivered at a time: about what a socket does.
CAPACITY = 256 << 10
_CHUNK = 64 << 10
_HIGH_WATER = 64 << 10


class Line:
    """
    One direction of a connection in memory, and what goes wrong with it.

    Attributes:
        carried: bytes that were delivered so far.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, capacity: int) -> None:
        self.carried = 0
        self._loop = loop
        self._capacity = capacity
        self._flight = bytearray()
        self._ended = False
        self._held = False
        self._bytes_to_lose: float = 0
        self._cut: int | None = None
        self._due = False
        self._sender: MemoryTransport
        self._receiver: MemoryTransport

    @property
    def in_flight(self) -> int:
        """Bytes that were sent and not delivered yet."""
        return len(self._flight)

    def hold(self) -> None:
        """Deliver nothing until `release`, as a slow or paused network does; the sender fills up."""
        self._held = True

    def release(self) -> None:
        """Deliver again what `hold` held back."""
        self._held = False
        self._schedule()

    def drop(self, count: int | None = None) -> None:
        """
        Drop bytes without a trace, as a network does that is cut off: the sender notices nothing.

        Args:
            count: how many of the next bytes; None for all from now on.
        """
        self._bytes_to_lose = float("inf") if count is None else self._bytes_to_lose + count
        self._schedule()

    def cut(self, after: int = 0) -> None:
        """
        Break the connection, for both ends and both directions.

        Args:
            after: bytes that are still delivered in this direction before.
        """
        self._cut = after
        self._schedule()

    # What the transports at its ends call

    def _fill(self) -> None:
        """Read from the sender what there is room for."""
        waiting = self._sender._waiting
        count = min(len(waiting), self._capacity - len(self._flight))
        if count > 0:
            self._flight += waiting[:count]
            del waiting[:count]
        self._schedule()

    def _schedule(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._due = False
        if self._cut == 0:
            self._receiver._lose(ConnectionResetError("the connection was cut"))
            self._sender._lose(ConnectionResetError("the connection was cut"))
            return
        if self._receiver._lost:
            self._refuse()
            return
        if self._held or not self._receiver._reading:
            return
        self._lose_some()
        if self._flight:
            self._transfer()
        elif self._ended:
            self._ended = False
            self._receiver._receive_eof()
        self._fill_again()

    def _lose_some(self) -> None:
        count = int(min(self._bytes_to_lose, len(self._flight)))
        self._bytes_to_lose -= count
        del self._flight[:count]

    def _transfer(self) -> None:
        limit = min(len(self._flight), _CHUNK, _CHUNK if self._cut is None else self._cut)
        memory = self._receiver._get_memory()
        count = limit if memory is None else min(limit, len(memory))
        data = bytes(self._flight[:count])
        del self._flight[:count]
        self.carried += count
        if self._cut is not None:
            self._cut -= count
        self._receiver._receive(data, memory)  # last: the receiver's program may run in here

    def _fill_again(self) -> None:
        if self._sender._waiting or self._flight or self._ended or self._cut == 0:
            self._fill()
        self._sender._notice_room()

    def _refuse(self) -> None:
        """Raise the error of a kernel whose program has closed its end, for all that arrives there."""
        if self._flight or self._sender._waiting:
            self._flight.clear()
            self._sender._lose(ConnectionResetError("the peer has closed the connection"))


class MemoryTransport(asyncio.Transport):
    """One end: keeps what its line has no room for, and reports that to its protocol."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.BaseProtocol, out: Line, into: Line) -> None:
        super().__init__({"peername": "memory", "sockname": "memory"})
        self._loop = loop
        self._out = out
        self._into = into
        self._waiting = bytearray()
        self._reading = True
        self._eof = False
        self._eof_sent = False
        self._closing = False
        self._lost = False
        self._writing_paused = False
        self._high, self._low = _HIGH_WATER, _HIGH_WATER // 4
        self.set_protocol(protocol)

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if not self._closing:
            _warn(f"unclosed {self!r}", ResourceWarning, source=self)

    # Reading

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Set the protocol that gets what arrives from now on."""
        self._protocol: Any = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def is_reading(self) -> bool:
        """Return True while what arrives is delivered."""
        return self._reading

    def pause_reading(self) -> None:
        """Pause delivery: what arrives stays on the line."""
        self._reading = False

    def resume_reading(self) -> None:
        """Resume delivery."""
        if not self._closing:
            self._reading = True
            self._into._schedule()

    def _get_memory(self) -> memoryview | None:
        """Return the memory that the protocol wants to be filled, or None if it takes chunks."""
        buffered = isinstance(self._protocol, asyncio.BufferedProtocol)
        return memoryview(self._protocol.get_buffer(-1)) if buffered else None

    def _receive(self, data: bytes, memory: memoryview | None) -> None:
        if memory is None:
            self._protocol.data_received(data)
        else:
            memory[: len(data)] = data
            memory.release()
            self._protocol.buffer_updated(len(data))

    def _receive_eof(self) -> None:
        if not self._protocol.eof_received():
            self.close()

    # Writing

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send, or keep what there is no room for."""
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._closing:
            return
        self._waiting += data
        self._out._fill()
        if len(self._waiting) > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Send several pieces, one after the other."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """Return True: one direction can end alone."""
        return True

    def write_eof(self) -> None:
        """End sending once all that was written is on its way."""
        if not self._eof:
            self._eof = True
            self._out._fill()
            self._notice_room()

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that there was no room for."""
        return len(self._waiting)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high water mark, in bytes."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the water marks, as every transport does."""
        if high is None:
            high = _HIGH_WATER if low is None else 4 * low
        low = high // 4 if low is None else low
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low

    def _notice_room(self) -> None:
        """Resume what waited for the line to have more room."""
        if self._writing_paused and len(self._waiting) <= self._low:
            self._writing_paused = False
            self._protocol.resume_writing()
        if not self._waiting and (self._eof or self._closing) and not self._lost:
            if not self._eof_sent:
                self._eof_sent = self._out._ended = True
                self._out._schedule()
            if self._closing:
                self._lose(None)

    # Ends

    def is_closing(self) -> bool:
        """Return True if this end was closed or lost."""
        return self._closing

    def close(self) -> None:
        """Stop reading, send what waits, then end."""
        if not self._closing:
            self._closing, self._reading = True, False
            self._notice_room()

    def abort(self) -> None:
        """End at once; what waits is lost."""
        self._waiting.clear()
        self.close()

    def _lose(self, error: Exception | None) -> None:
        """Report the lost connection to the protocol, and to the other end if this one has not read what it sent."""
        if self._lost:
            return
        self._closing = self._lost = True
        self._reading = False
        self._waiting.clear()
        self._into._schedule()
        self._loop.call_soon(self._protocol_lost, error)

    def _protocol_lost(self, error: Exception | None) -> None:
        self._protocol.connection_lost(error)
