"""The sending half of a connection: frames go to the outbox when there is room, in the order of their senders."""

from __future__ import annotations

import asyncio
from typing import Any

from aioparcs import wire
from aioparcs.channel.connection.outbox import Outbox
from aioparcs.errors import EncodeError, ParcsError, fresh

__all__ = ["FrameSender"]


class FrameSender:
    """
    Sends frames, and makes senders wait for room: first come, first served.

    Args:
        loop: the event loop.
        outbox: where frames wait to be written.
        max_body: bytes that the peer accepts in a body.
        max_buffers: bytes that the peer accepts in the buffers of a frame.

    Attributes:
        error: why nothing more may be sent, or None.
        max_body, max_buffers: as they were given.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, outbox: Outbox, max_body: int, max_buffers: int) -> None:
        self.error: ParcsError | None = None
        self.max_body = max_body
        self.max_buffers = max_buffers
        self._loop = loop
        self._outbox = outbox
        self._waiting: list[asyncio.Future[None]] = []  # a deque has room for 64 from the first
        outbox.on_room = self._wake_next

    async def send(self, type: int, body: bytes, buffers: tuple[Any, ...] = ()) -> None:
        """
        Send a frame, or a message that was encoded before; see `Channel.send`.

        Raises:
            EncodeError: it is larger than the peer accepts.
        """
        if self._outbox.blocked:
            await self.wait_for_room()
        await self.send_large(type, body, buffers)

    async def send_large(self, type: int, body: bytes, buffers: tuple[Any, ...]) -> None:
        """Send a frame that has buffers, or that may be too large; returns when the buffers are the caller's again."""
        self.check_size(len(body), sum(map(len, buffers)))
        if not buffers:
            self._outbox.put(wire.encode_header(type, len(body)) + body)
            return
        mutable = any(not isinstance(view.obj, bytes) for view in buffers)
        done = self._loop.create_future() if mutable else None
        sendings = self._outbox.put_large(type, body, buffers, done)
        if done is None or done.done():
            return
        try:
            await done
        except asyncio.CancelledError:
            for sending in sendings:
                sending.copy()
            raise

    def post(self, type: int, body: bytes = b"") -> None:
        """Send one small frame without waiting for room; nothing happens when nothing more can be sent."""
        if self.error is None:
            self._outbox.put(wire.encode_header(type, len(body)) + body)

    def check(self) -> None:
        """Raise the reason why nothing more may be sent, if there is one."""
        if self.error is not None:
            raise fresh(self.error)

    def check_size(self, body: int, buffers: int) -> None:
        """
        Raise an error for a message that the peer would not accept.

        Raises:
            EncodeError: the body, or the buffers together, have too many bytes.
        """
        if body > self.max_body or buffers > self.max_buffers:
            raise EncodeError(
                "$",
                f"the message has {body:,} bytes and {buffers:,} bytes of buffers; the peer accepts {self.max_body:,} "
                f"and {self.max_buffers:,} (PARCS_MAX_BODY and PARCS_MAX_BUFFERS there raise it)",
            )

    def stop(self, error: ParcsError | None) -> None:
        """Accept nothing more; the first reason stays."""
        if self.error is None:
            self.error = error
        self._outbox.blocked = True
        for waiter in self._waiting:
            _wake(waiter)

    async def wait_for_room(self) -> None:
        """
        Wait until a message may be accepted, first come, first served.

        When a batch could be written it is, and the loop turns once: a sender that never waits doesn't starve others.
        Cancelling it means that nothing was sent.
        """
        outbox, served, turned = self._outbox, False, False
        while True:
            self.check()
            if outbox.full or (self._waiting and not served):
                await self._wait_turn(first=served)
                served = True
            elif outbox.batched and not turned:
                outbox.flush()
                turned = True
                await asyncio.sleep(0)
            else:
                break
        if self._waiting:
            self._loop.call_soon(self._wake_next)

    def _wake_next(self) -> None:
        """Wake the next sender that waits; if none does, accept from all: there is room."""
        if self._waiting:
            _wake(self._waiting[0])
        elif self.error is None:
            self._outbox.blocked = self._outbox.full

    async def _wait_turn(self, *, first: bool) -> None:
        waiter = self._loop.create_future()
        self._waiting.insert(0 if first else len(self._waiting), waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            self._loop.call_soon(self._wake_next)  # it may have been this one's turn: pass it on
            raise
        finally:
            self._waiting.remove(waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
