"""A channel as a target: frames of a peer that has been let in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from typing import Any

from aioparcs import Channel, DecodeError, ParcsError
from aioparcs.testing import memory_pair
from aioparcs.wire import FrameType, encode_header

__all__ = ["FRAME_TYPES", "channel"]

FRAME_TYPES = tuple(FrameType)
"""The types of frames: each frame of an input is the place of its type here, its size, and its body."""

_PATIENCE = 20.0  # seconds after which a channel hangs whose peer has left


def channel(data: bytes) -> None:
    """Send frames to a channel: what waits there ends by the end of its peer, with a value or a documented error."""
    errors = asyncio.run(_receive(data))
    assert not errors, errors


async def _receive(data: bytes) -> list[Any]:
    """Return the errors that no code has handled."""
    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    ends, (_, writer), _ = memory_pair()
    channel = Channel(*ends)
    channel.relays.refuse()
    channel.call_server.on_credit = lambda call_id, taken: None
    stream = channel.calls.open_stream("f", (), {}, None)
    waiting: list[Awaitable[Any]] = [_recv_all(channel), channel.call("f"), channel.barrier(), _take_all(stream)]
    tasks = [asyncio.ensure_future(_until_error(one)) for one in waiting]
    try:
        for frame in _frames(data):
            writer.write(frame)
            await asyncio.sleep(0)
        writer.write_eof()
        async with asyncio.timeout(_PATIENCE):
            await asyncio.gather(*tasks)
    finally:
        channel.abort()
        writer.transport.abort()
        await channel.aclose()
    return errors


def _frames(data: bytes) -> Iterator[bytes]:
    at = 0
    while at + 1 < len(data):
        body = data[at + 2 : at + 2 + data[at + 1]]
        yield encode_header(FRAME_TYPES[data[at] % len(FRAME_TYPES)], len(body)) + body
        at += 2 + data[at + 1]


async def _until_error(work: Awaitable[Any]) -> None:
    try:
        await work
    except ParcsError as error:
        str(error), repr(error)


async def _recv_all(channel: Channel) -> None:
    while True:
        try:
            await channel.recv()
        except DecodeError:
            continue


async def _take_all(stream: Any) -> None:
    while True:
        try:
            await stream.take()
        except StopAsyncIteration:
            return
