"""A message whose place in line is held while its bytes come another way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aioparcs import codec
from aioparcs.channel.connection import LARGE, RECEIVING, Inbox
from aioparcs.wire import Frame, FrameType

__all__ = ["RelayMessage"]


class RelayMessage:
    """
    One such message.

    Args:
        inbox: where its place is.
        place: the frame that holds it.
        name: the message's id.
        feeds: whether others are to get it from this process.
        raw: whether it is a RAW message, else a MSG.
        body: its body.
        sizes: the sizes of its buffers.

    Attributes:
        name, feeds: the same.

    Raises:
        ValueError: it is larger than this side accepts.
    """

    def __init__(
        self, inbox: Inbox, place: Frame, name: bytes, feeds: bool, raw: bool, body: bytes, sizes: Sequence[int]
    ) -> None:
        self.name = name
        self.feeds = feeds
        self._inbox = inbox
        self._place = place
        self._type = FrameType.RAW if raw else FrameType.MSG
        self._body = body
        self._sizes = sizes
        self._size = sum(sizes)
        self._reserved = 0  # bytes of the budget of all messages
        most = inbox.memory.max_buffers
        if self._size > most or min(sizes, default=0) < 0 or (raw and len(sizes) != 1):
            raise ValueError(f"buffers of {self._size:,} bytes; the limit is {most:,}")

    async def allocate(self) -> list[Any]:
        """Wait for memory for its buffers, and return them. Cancelling it reserves none."""
        if self._size >= LARGE:
            while not RECEIVING.take(self._size, self._inbox.memory.limit, force=self._inbox.is_wanted(self._place)):
                room = asyncio.get_running_loop().create_future()
                RECEIVING.wait(lambda room=room: room.done() or room.set_result(None))  # type: ignore[misc]  # mypy#6123
                await room
            self._reserved = self._size
        return [codec.allocate(self._type, size) for size in self._sizes]

    def settle(self, buffers: Sequence[Any]) -> None:
        """Put the message in its place and wake the receiver that waits for it."""
        self._put(Frame(self._type, self._body, tuple(buffers)))

    def fail(self, reason: str) -> None:
        """Put an error in its place."""
        self._put(Frame(FrameType.ERROR, reason.encode()))

    def _put(self, frame: Frame) -> None:
        is_there = self._inbox.put_in_place(self._place, frame)
        if self._reserved and (not is_there or not frame.buffers):
            RECEIVING.release(self._reserved)
