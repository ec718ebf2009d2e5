"""The channel in version 1 of the wire: JSON in plain frames, and the end of the stream as the clean end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aioparcs import Channel, ConnectionLost, EncodeError, ProtocolError
from aioparcs.wire import FrameType, encode_header
from tests.support.channels import Streams, pair, streams, waits

# The original has no TLS, and could not end one direction of it.
pytestmark = pytest.mark.parametrize("kind", ["tcp", "unix", "memory"])


@asynccontextmanager
async def by_hand(kind: str) -> AsyncIterator[tuple[Channel, Streams]]:
    async with streams(kind) as (here, there):
        channel = Channel(*there, version=1)
        try:
            yield channel, here
        finally:
            channel.abort()
            await channel.aclose()


async def test_version_1_speaks_json_in_plain_frames(kind: str) -> None:
    values: list[Any] = [1, "ü", [None, True], {"a": [1.5]}, "x" * 100_000]
    async with by_hand(kind) as (channel, (reader, writer)):
        for value in values:
            text = json.dumps(value).encode()
            writer.write(len(text).to_bytes(8, "big") + text)
            assert await channel.recv() == value
            await channel.send(value)
            size = int.from_bytes(await reader.readexactly(8), "big")
            assert json.loads(await reader.readexactly(size)) == value
        for unsuitable in (b"bytes", {1, 2}, {"a": [object()]}):
            with pytest.raises(EncodeError):
                await channel.send(unsuitable)


async def test_version_1_ends_with_the_stream(kind: str) -> None:
    async with pair(kind, version=1) as (here, there):
        await here.send_all("one", {"n": 2})
        closing = asyncio.ensure_future(here.aclose())
        assert [m async for m in there] == ["one", {"n": 2}]
        await there.aclose()
        await closing


async def test_version_1_cut_within_a_frame_is_a_loss(kind: str) -> None:
    async with by_hand(kind) as (channel, (_, writer)):
        writer.write((10).to_bytes(8, "big") + b"[1, ")
        receiving = asyncio.ensure_future(channel.recv())
        await waits(receiving)
        writer.close()
        with pytest.raises(ConnectionLost):
            await receiving


async def test_version_1_ends_one_direction(kind: str) -> None:
    async with pair(kind, version=1) as (here, there):
        await here.send("question")
        await here.send_eof()
        assert [m async for m in there] == ["question"]
        await there.send("answer")
        assert await here.recv() == "answer"


async def test_version_1_has_no_frames_but_json(kind: str) -> None:
    async with by_hand(kind) as (channel, (_, writer)):
        writer.write(encode_header(FrameType.MSG, 1) + b"\x01")
        with pytest.raises(ProtocolError):
            await channel.recv()
