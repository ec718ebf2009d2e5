"""The buffers of large messages that several programs relay: each passes on what it has while the rest arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aioparcs.channel.channel import Channel
from aioparcs.errors import ConnectionLost, ParcsError

__all__ = ["RELAYS", "RelayBuffer", "fetch", "serve_relay"]

# Bytes that are passed on at once, before their neighbours have come.
_CHUNK = 1 << 20


class RelayBuffer:
    """
    The bytes of one message: complete at its origin, growing elsewhere.

    Args:
        buffers: the message's buffers.
        have: how many of their bytes are there, all buffers together.

    Attributes:
        size: bytes of all buffers.
        have: how many of them are there.
    """

    def __init__(self, buffers: Sequence[Any], *, have: int = 0) -> None:
        self._views = [view for view in (memoryview(buffer).cast("B") for buffer in buffers) if len(view)]
        self.size = sum(map(len, self._views))
        self.have = have
        self._closed = False
        self._readers: set[Channel] = set()
        self._changed = asyncio.Event()

    def view(self, start: int, end: int) -> memoryview:
        """Return the bytes from ``start`` on, to ``end`` or to the end of a buffer."""
        for view in self._views:
            if start < len(view):
                return view[start:end]
            start, end = start - len(view), end - len(view)
        return memoryview(b"")

    def advance(self, count: int) -> None:
        """Account for so many bytes more."""
        self.have += count
        self._notify()

    async def _wait_beyond(self, offset: int) -> None:
        """
        Wait until more than ``offset`` bytes are there.

        Raises:
            ConnectionLost: they will never be.
        """
        while self.have <= offset or self._closed:
            if self._closed:
                raise ConnectionLost("the message to pass on is no longer there")
            await self._changed.wait()

    async def send_to(self, channel: Channel, offset: int) -> None:
        """
        Send the bytes from ``offset`` to the last one, each as soon as it is there.

        Raises:
            ConnectionLost: not all of it will come.
            ParcsError: the other side is gone.
        """
        self._readers.add(channel)
        try:
            while offset < self.size:
                await self._wait_beyond(offset)
                view = self.view(offset, min(self.have, offset + _CHUNK))
                await channel.send(view)
                offset += len(view)
        finally:
            self._readers.discard(channel)

    def close(self) -> None:
        """Stop sending to all receivers, slow ones included."""
        self._closed = True
        self._notify()
        for channel in self._readers:
            channel.abort()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


# What this process relays, by the message's id, which the dialler sends.
RELAYS: dict[bytes, RelayBuffer] = {}


async def serve_relay(channel: Channel, timeout: float) -> None:
    """
    Send a peer that has dialled the bytes that it requests, and close the channel.

    Args:
        channel: it begins with the message's id, and the number of bytes that the other side has already.
        timeout: seconds that it gets to say so.
    """
    try:
        async with asyncio.timeout(timeout):
            name, offset = await channel.recv()
        if type(offset) is not int or offset < 0:
            raise ValueError("an offset must be a number of bytes, at least 0")
        await RELAYS[name].send_to(channel, offset)
        await channel.aclose()
    except (ParcsError, TimeoutError, KeyError, TypeError, ValueError):
        channel.abort()  # who lacks something asks elsewhere
    except BaseException:
        channel.abort()
        raise


async def fetch(name: bytes, stream: RelayBuffer, channel: Channel) -> None:
    """
    Receive what is missing of a stream from a program that relays it, and close the channel.

    Cancelling it leaves what has come.

    Raises:
        ParcsError: not all of it has come.
    """
    async with channel:
        await channel.send([name, stream.have])
        while stream.have < stream.size:
            stream.advance(await channel.recv_into(stream.view(stream.have, stream.size)))
