"""Streams: the items of a generator function of the peer, one by one, as many ahead as this side has room for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgpack

from aioparcs import codec
from aioparcs.channel.calls.results import read_results
from aioparcs.channel.connection import FrameConnection
from aioparcs.errors import BusyError, DecodeError, fresh
from aioparcs.wire import STREAM, Frame, FrameType

__all__ = ["ONE_READER", "CallStream"]

ONE_READER = "another coroutine is waiting for the next item of this stream"
"""The message of the BusyError for a second reader."""
# Items, and bytes of them, that may be on their way, or here and not taken.
_ITEMS, _BYTES = 64, 4 << 20


class CallStream:
    """
    A call whose results are items, made by `CallClient.open_stream`.

    Args:
        connection: what it travels over.
        name: the function's name.
        args: its arguments.
        kwargs: its keyword arguments.
        limit: seconds that each item may take, None for any time.
        on_end: called once, when nothing more of it will come.

    Attributes:
        function, args, kwargs, call_id: the call that opens it; see `OutgoingCall`.
        has_ended: True when nothing more of it will come.
        is_closed: True when its reader has cancelled it.
        count: how many items have come.
    """

    function = STREAM
    kwargs: Mapping[str, Any] = {}

    def __init__(
        self,
        connection: FrameConnection,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        limit: float | None,
        on_end: Callable[[CallStream], object],
    ) -> None:
        self.args: Sequence[Any] = (limit, name, list(args), dict(kwargs), _ITEMS, _BYTES)
        self.call_id = -1
        self.has_ended = False
        self.count = 0
        self._connection = connection
        self._on_end = on_end
        self._items: deque[tuple[Any, int]] = deque()  # each with its size
        self._error: BaseException | None = None  # what is raised behind the items
        self.is_closed = False
        self._taken = self._credited = self._bytes = 0  # items taken, those reported; bytes of those that were not
        self._waiter: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] = connection.inbox.loop.create_future()

    @property
    def error(self) -> BaseException | None:
        """What it has ended with; None for its regular end, and if it was cancelled."""
        return self._error

    async def take(self) -> Any:
        """
        Return the next item.

        Cancelling it loses none.

        Raises:
            StopAsyncIteration: there are no more.
            RemoteError: the function raised, after its items.
            EndOfChannel, ConnectionLost, ChannelClosed: the connection has ended, after the items that had come.
            DecodeError: an item can't be decoded here; it is the last.
            BusyError: another coroutine is waiting for the next item.
        """
        if self._waiter is not None:
            raise BusyError(ONE_READER)
        while not self._items:
            if self.has_ended or self.is_closed:
                raise self._error or StopAsyncIteration
            self._waiter = self._connection.inbox.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        item, size = self._items.popleft()
        self._taken += 1
        self._bytes += size
        if 2 * (self._taken - self._credited) >= _ITEMS or 2 * self._bytes >= _BYTES:
            self._credit()
        return item

    def cancel(self) -> None:
        """Ask the peer to end the generator, and discard its items; what it does then is not reported."""
        if not self.is_closed and not self.has_ended:
            self._connection.post_frame(FrameType.CANCEL, msgpack.packb([self.call_id]))
        self.is_closed = True
        self._items.clear()
        self._wake()

    async def wait_ended(self, timeout: float) -> None:
        """Wait until the peer has answered that the generator has ended, or for so many seconds."""
        await asyncio.wait([self._ended], timeout=timeout)

    # What the client calls, as it does with the future of a call

    def done(self) -> bool:
        """Return True when nothing more of it will come."""
        return self.has_ended

    def set_result(self, frame: Frame | None) -> None:
        """Accept an item or the end; None when the connection has ended."""
        if frame is None:
            end = self._connection.inbox.closed or self._connection.inbox.end
            self._end(end and fresh(end))
            return
        ok, value = _read(frame)
        if ok is not None:
            self._end(None if ok else value)
        elif not self.is_closed:
            self.count += 1
            self._items.append((value, _size(frame)))
        self._wake()

    # Inside

    def _end(self, error: BaseException | None) -> None:
        if isinstance(error, DecodeError):
            self._connection.post_frame(FrameType.CANCEL, msgpack.packb([self.call_id]))
        self._error = None if self.is_closed else error
        self.has_ended = True
        self._ended.set_result(None)
        self._on_end(self)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _credit(self) -> None:
        """Report how many items were taken, so that the peer may send as many more."""
        self._credited, self._bytes = self._taken, 0
        if not self.has_ended:
            self._connection.post_frame(FrameType.CREDIT, msgpack.packb([self.call_id, self._taken]))


def _read(frame: Frame) -> tuple[bool | None, Any]:
    """Return an item behind None, or the end: True and nothing, or False and the error."""
    try:
        call_id, ok, value = codec.decode(frame.body, frame.buffers)
    except Exception:
        pass  # see below
    else:
        if ok is None and type(call_id) is int:
            return None, value
    ((_, ok, value),) = read_results([frame])
    return ok, value


def _size(frame: Frame) -> int:
    return len(frame.body) + sum(map(len, frame.buffers))
