"""
The outbox of a connection: pieces that wait to be written to a transport, and back-pressure.

Small frames are corked: the first one on an idle connection is written at once, those that follow in the same
iteration of the loop leave together in one call. Large buffers are never copied as a whole: they are written
straight to the socket, and only what the kernel has no room for, 64 KiB at a time, goes through the transport,
which then reports when there is room again. So it is known exactly which bytes are still the caller's.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from aioparcs.channel.connection.loans import Loans, mapped_frame

__all__ = ["Outbox", "Sending", "SocketWriter"]

# Small frames that are written together at most; beyond it the sender lets the loop turn once.
BATCH = 64 << 10
# What a private copy for the transport holds, and how much is written before other tasks have their turn.
_COPY, _BURST = 64 << 10, 4 << 20
# Seconds after which a connection that has been written to counts as idle again.
_QUIET = 0.001
_QUESTION = mapped_frame(True)
# The pieces of an outbox in which none has waited so far: a deque has room for 64 from the first, and most are idle.
_NO_PIECES: deque[bytes | Sending] = deque()
_HANG_UP = select.POLLHUP | getattr(select, "POLLRDHUP", 0)  # the latter, the end of a TCP peer, is Linux's


class Sending:
    """A buffer that is being sent and that its owner may want back: `done` is set when all is written or copied."""

    __slots__ = ("done", "view")

    def __init__(self, view: memoryview, done: asyncio.Future[None] | None) -> None:
        self.view = view
        self.done = done

    def copy(self) -> None:
        """Copy what is still unsent, so that the owner may change the buffer."""
        self.view = memoryview(bytes(self.view))

    def settle(self) -> None:
        """Wake the owner."""
        if self.done is not None and not self.done.done():
            self.done.set_result(None)


class SocketWriter:
    """
    Writes to a transport's socket, bypassing the transport.

    Args:
        transport: its water marks are set so that "not paused" means "written".

    Attributes:
        transport: the same.
        fd: the socket's descriptor, -1 where the transport is no plain socket, or is lost.
        is_local: True for a Unix socket, also under TLS.
        through: writes to the transport.
        is_amid: True while a large piece is partly written, and only this says so.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.is_amid = False
        self._is_shared = False
        # TLS and memory transports have no socket that may be written to behind their back. A TLS transport with
        # a high-water mark of 0 pauses when it holds nothing at all, and then nothing makes it resume.
        plain = transport.get_extra_info("sslcontext") is None
        sock = transport.get_extra_info("socket")
        transport.set_write_buffer_limits(high=0 if plain else 1)
        self.fd = -1 if sock is None or not plain else sock.fileno()
        self.is_local = sock is not None and sock.family == socket.AF_UNIX
        self.through: Callable[[Any], object] = transport.write
        if not plain and sock is not None:
            self.through = self._write_unless_hung_up
            self._hang_up = select.poll()
            self._hang_up.register(sock.fileno(), _HANG_UP)

    def share(self, lock: threading.Lock) -> Callable[[Any], object]:
        """Write to the transport only: another thread writes to the socket too. Returns what writes under a lock."""
        self._is_shared, write = True, self.through

        def write_alone(data: Any) -> None:
            with lock:
                write(data)

        return write_alone

    def _write_unless_hung_up(self, data: Any) -> None:
        """Write to TLS, whose failed writes close the socket with what the peer had sent; reading meets its end."""
        if self.transport.is_closing() or not self._hang_up.poll(0):
            self.transport.write(data)

    def write(self, view: memoryview) -> int:
        """Write, if the transport holds nothing; return the count of bytes that the kernel took."""
        if self.fd < 0 or self._is_shared or self.transport.is_closing() or self.transport.get_write_buffer_size():
            return 0
        count, end = 0, min(len(view), _BURST)
        try:
            while count < end:
                count += os.write(self.fd, view[count:end])
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:  # the transport meets the same error and reports it
            self.fd = -1
        return count


class _Cork:
    """The schedule of flushes: whether one is due at the end of the loop's iteration, and when frames last waited."""

    __slots__ = ("_used_at", "is_due", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.is_due = False
        self._used_at = 0.0

    def was_quiet(self) -> bool:
        """Return True when this was not called for a while."""
        used_at, self._used_at = self._used_at, self.loop.time()
        return self._used_at - used_at > _QUIET


class Outbox:
    """
    Pieces in order, written as the transport takes them.

    Args:
        loop: the event loop.
        transport: where to write.
        limit: bytes that may wait before `full` says so.

    Attributes:
        idle: True when the next small frame may be written at once; what answers the peer is to leave at once.
        clear: True when nothing waits, here or in the transport.
        size: bytes that wait here.
        loans: what was sent by reference and that the peer has not mapped yet; it counts as what waits.
        blocked: True when the next sender has to wait for room first: a batch is full, or its owner says so.
        write: writes to the transport itself.
        is_ended: True once the stream of this side has ended.
        frames: frames written so far.
        written: bytes written so far.
        on_room: called when fewer than a quarter of ``limit`` wait again, and after each burst of writing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, limit: int) -> None:
        self.size = 0
        self.loans = Loans(lambda: self.put(_QUESTION))
        self.blocked = False
        self.is_ended = False
        self.frames = 0
        self.written = 0
        self.on_room: Callable[[], object]
        self._limit = limit
        self._pieces = _NO_PIECES
        self._cork = _Cork(loop)
        self._socket = SocketWriter(transport)
        self.write = self._socket.through
        self._drained: asyncio.Future[None] | None = None
        self._paused = transport.get_write_buffer_size() > 0  # what the handshake has left there
        self.idle = self.clear = not self._paused

    @property
    def full(self) -> bool:
        """True when a sender should wait."""
        return self.size + self.loans.size >= self._limit

    @property
    def batched(self) -> bool:
        """True when a batch waits that could be written now."""
        return self.size >= BATCH and not self._paused

    @property
    def empty(self) -> bool:
        """True when everything is with the kernel, or with whatever the transport writes to."""
        return not self._pieces and not self._paused and not self._socket.is_amid

    @property
    def fd(self) -> int:
        """The socket's descriptor, -1 where there is none to write to."""
        return self._socket.fd

    @property
    def is_local(self) -> bool:
        """True for a Unix socket, also under TLS."""
        return self._socket.is_local

    @property
    def can_write(self) -> bool:
        """True while what is added has a way to the peer."""
        return not self.is_ended and not self._socket.transport.is_closing()

    def share(self, lock: threading.Lock) -> None:
        """Write under a lock from now on, and only through the transport: another thread writes to the socket too."""
        self.write = self._socket.share(lock)

    def count(self, frames: int, size: int) -> None:
        """Account for what another thread has written."""
        self.frames += frames
        self.written += size

    def put(self, frame: bytes) -> None:
        """Add a small frame."""
        if self.idle:
            self.idle = False
            self.frames += 1
            self.written += len(frame)
            self.write(frame)
            return
        self.clear = False
        if self._pieces is _NO_PIECES:
            self._pieces = deque()
        self._pieces.append(frame)
        self.size += len(frame)
        if self.size >= BATCH:
            self.blocked = True
        if not self._cork.is_due:
            self._schedule_flush()

    def put_batch(self, frames: list[bytes]) -> None:
        """Add small frames that are written together."""
        if frames:
            self.put(frames[0] if len(frames) == 1 else b"".join(frames))
            self.frames += len(frames) - 1

    def put_large(self, pieces: list[Any], done: asyncio.Future[None] | None) -> list[Sending]:
        """Add a frame with buffers: bytes, then flat memoryviews. Returns what the owner may want to `copy`."""
        head, *views = pieces
        self.idle = self.clear = False
        sendings = [Sending(view, None) for view in views]
        if sendings:
            sendings[-1].done = done
        if self._pieces is _NO_PIECES:
            self._pieces = deque()
        self._pieces.append(head)
        self._pieces.extend(sendings)
        self.size += len(head) + sum(map(len, views))
        self.blocked = True
        self.flush()
        return sendings

    def flush(self) -> None:
        """Write as much as there is room for."""
        self._cork.is_due = False
        pieces, burst, lost = self._pieces, 0, self._socket.transport.is_closing
        while pieces and not self._paused and not lost():  # asyncio complains of writes to what is lost
            if burst >= _BURST:
                self._schedule_flush(force=True)
                break
            piece = pieces[0]
            if isinstance(piece, Sending):
                burst += self._write_large(piece)
            else:
                burst += self._write_small()
        if not self._paused:
            if not pieces:
                self.clear = True
                self._settle_drained()
            if self.size + self.loans.size <= self._limit // 4:
                self.on_room()

    def pause(self) -> None:
        """Note that the transport holds unwritten bytes; the transport calls this."""
        self._paused = True
        self.idle = self.clear = False

    def resume(self) -> None:
        """Note that the transport has written all its bytes; the transport calls this."""
        self._paused = False
        self.flush()

    async def drain(self) -> None:
        """Wait until everything is written, and what was lent is mapped. Cancelling it changes nothing."""
        self.flush()
        if not self.empty or self.loans.size:
            if self._drained is None:
                self._drained = self._cork.loop.create_future()
            await asyncio.shield(self._drained)

    def end_loans(self) -> None:
        """Forget what the peer has not mapped: it maps nothing more."""
        self.loans.clear()
        self.flush()

    def drop(self) -> None:
        """Remove what waits: the connection is gone."""
        self._socket.fd = -1
        for piece in self._pieces:
            if isinstance(piece, Sending):
                piece.settle()
        self._pieces.clear()
        self.size = 0
        self.loans.clear()
        self._paused = False
        self._settle_drained()

    def _settle_drained(self) -> None:
        if self._drained is not None and not self.loans.size:
            self._drained.set_result(None)
            self._drained = None

    def _schedule_flush(self, *, force: bool = False) -> None:
        """Write what waits at the end of this iteration; at once when nothing was written for a while."""
        if self._cork.was_quiet() and not force and not self._paused:
            self.flush()
            return
        self._cork.is_due = True
        self._cork.loop.call_soon(self.flush)

    def _write_small(self) -> int:
        pieces = self._pieces
        batch: list[bytes] = []
        size = 0
        while pieces and size < BATCH and type(pieces[0]) is bytes:
            piece = pieces.popleft()
            batch.append(piece)  # type: ignore[arg-type]  # the line above says that it is bytes
            size += len(piece)  # type: ignore[arg-type]  # as above
        self.size -= size
        self.frames += len(batch)
        self.written += size
        self.write(batch[0] if len(batch) == 1 else b"".join(batch))
        return size

    def _write_large(self, sending: Sending) -> int:
        view = sending.view
        count = self._socket.write(view)
        copy = bytes(view[count : count + _COPY])
        count += len(copy)
        self.size -= count
        self.written += count
        sending.view = view[count:]
        self._socket.is_amid = bool(copy)  # another thread may look while this one waits to write
        if count == len(view):
            self._pieces.popleft()
            sending.settle()
        if copy:  # last: the transport may call back from within
            self.write(copy)
            self._socket.is_amid = False
        return count
