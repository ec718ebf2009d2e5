"""
The outbox of a connection: pieces that wait to be written to a transport, and back-pressure.

Small frames are corked: the first one on an idle connection is written at once, those that follow in the same
iteration of the loop leave together in one call. Large buffers are never copied as a whole: they are written
straight to the socket, and only what the kernel has no room for, 64 KiB at a time, goes through the transport,
which then reports when there is room again. So it is known exactly which bytes are still the caller's.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from aioparcs import wire
from aioparcs.channel.connection.loans import Loans, mapped_frame
from aioparcs.channel.connection.socket_writer import BURST, SocketWriter

__all__ = ["Outbox", "Sending"]

# Small frames that are written together at most; beyond it the sender lets the loop turn once.
BATCH = 64 << 10
# What a private copy for the transport holds.
_COPY = 64 << 10
# Seconds after which a connection that has been written to counts as idle again.
_QUIET = 0.001
# The pieces of an outbox in which none has waited so far: a deque has room for 64 from the first, and most are idle.
_NO_PIECES: deque[bytes | Sending | Held] = deque()
_NOTHING = memoryview(b"")


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


class Held(NamedTuple):
    """A frame that waits until it is known whether the peer maps its buffers."""

    type: int
    body: bytes
    sendings: list[Sending]

    def pieces(self, loans: Loans) -> list[bytes | Sending]:
        """Return what is to be written, now that it is known."""
        views = loans.lend(tuple(sending.view for sending in self.sendings))
        unlent: list[Sending] = []
        done, self.sendings[-1].done = self.sendings[-1].done, None
        for sending, view in zip(self.sendings, views, strict=True):
            if isinstance(view, wire.Reference):
                sending.view = _NOTHING  # it is not the owner's to change
            else:
                unlent.append(sending)
        last = unlent[-1] if unlent else self.sendings[-1]
        last.done = done
        if not unlent:
            last.settle()
        return [wire.encode_frame(self.type, self.body, views)[0], *unlent]


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
        self.loans = Loans(lambda question: self.put(mapped_frame(question)))
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

    def put_ahead(self, frame: bytes) -> None:
        """Add a small frame before those that wait for the peer's answer: its own may wait for this one."""
        held = next((index for index, piece in enumerate(self._pieces) if isinstance(piece, Held)), None)
        if held is None:
            self.put(frame)
            return
        self._pieces.insert(held, frame)
        self.size += len(frame)
        self.flush()

    def put_batch(self, frames: list[bytes]) -> None:
        """Add small frames that are written together."""
        if frames:
            self.put(frames[0] if len(frames) == 1 else b"".join(frames))
            self.frames += len(frames) - 1

    def put_large(
        self, type: int, body: bytes, buffers: tuple[Any, ...], done: asyncio.Future[None] | None
    ) -> list[Sending]:
        """Add a frame with buffers, which are flat memoryviews. Returns what the owner may want to `copy`."""
        held = Held(type, body, [Sending(view, None) for view in buffers])
        held.sendings[-1].done = done
        pieces = [held] if self.loans.must_wait(buffers) else held.pieces(self.loans)
        self.idle = self.clear = False  # now: the question may have left at once
        if self._pieces is _NO_PIECES:
            self._pieces = deque()
        self._pieces.extend(pieces)
        self.size += sum(map(_size, pieces))
        self.blocked = True
        self.flush()
        return held.sendings

    def flush(self) -> None:
        """Write as much as there is room for."""
        self._cork.is_due = False
        pieces, burst, lost = self._pieces, 0, self._socket.transport.is_closing
        while pieces and not self._paused and not lost():  # asyncio complains of writes to what is lost
            if burst >= BURST:
                self._schedule_flush(force=True)
                break
            piece = pieces[0]
            if isinstance(piece, Held):
                if self.loans.is_undecided:
                    break
                self._release()
            elif isinstance(piece, Sending):
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
            for sending in piece.sendings if isinstance(piece, Held) else [piece]:
                if isinstance(sending, Sending):
                    sending.settle()
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

    def _release(self) -> None:
        """Replace the frame that is first in line by its pieces."""
        held = self._pieces.popleft()
        assert isinstance(held, Held)
        self.size -= _size(held)
        pieces = held.pieces(self.loans)
        self.size += sum(map(_size, pieces))
        self._pieces.extendleft(reversed(pieces))

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


def _size(piece: bytes | Sending | Held) -> int:
    """Return the bytes of what waits."""
    if isinstance(piece, Held):
        return sum(map(_size, piece.sendings))
    return len(piece.view if isinstance(piece, Sending) else piece)
