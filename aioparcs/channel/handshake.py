"""
Who is there, and may they come in: what happens on a connection before it is a channel.

The bytes are `aioparcs.auth`'s. Until the verdict nothing larger than `MAX_HANDSHAKE_FRAME` is read, and all of
it happens within one deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgpack

from aioparcs import wire
from aioparcs.auth import MAGIC, MAX_HANDSHAKE_FRAME, Hello, proof, verify
from aioparcs.errors import HandshakeError
from aioparcs.wire import FrameType

__all__ = ["accept", "accept_v1", "introduce", "introduce_v1"]

_SYN, _ACK = b"SYN", b"ACK"


async def introduce(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: Hello, token: bytes, timeout: float
) -> Hello:
    """
    Introduce this program to the listener that it dialled.

    Cancelling it leaves the connection unusable; the caller closes it.

    Args:
        reader: the fresh connection's reading end.
        writer: its writing end.
        hello: what to say of this program.
        token: the job's token.
        timeout: seconds for the whole handshake.

    Returns:
        What the listener said of itself.

    Raises:
        HandshakeError: the listener refused, isn't who it should be, or didn't answer in time.
    """
    async with _within(timeout, "the listener"):
        mine = MAGIC + _frame(FrameType.HELLO, hello.encode())
        writer.write(mine)
        theirs, greeting = await _read_hello(reader)
        auth = _frame(FrameType.AUTH, proof(token, hello.role, mine + theirs))
        writer.write(auth)
        _, body = await _read_frame(reader, FrameType.AUTH)
        # The listener's proof covers the dialler's as well: two workers have one role, and an echo is no proof.
        if not verify(token, greeting.role, mine + theirs + auth, body):
            raise HandshakeError("the listener doesn't know the job's token")
        await _read_frame(reader, FrameType.WELCOME)
        return greeting


async def accept(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    hello: Hello,
    token: bytes,
    timeout: float,
    judge: Callable[[Hello], str | None],
) -> Hello:
    """
    Hear who dialled, and let them in or refuse them.

    Cancelling it leaves the connection unusable; the caller closes it.

    Args:
        reader: the fresh connection's reading end.
        writer: its writing end.
        hello: what to say of this program.
        token: the job's token.
        timeout: seconds for the whole handshake.
        judge: called once the peer has proved that it knows the token; returns why it may not come in, or None.

    Returns:
        What the peer said of itself.

    Raises:
        HandshakeError: the peer was refused, or didn't speak in time.
    """
    async with _within(timeout, "the peer"):
        theirs, greeting = await _read_hello(reader, refuse=writer)
        mine = MAGIC + _frame(FrameType.HELLO, hello.encode())
        writer.write(mine)
        auth, body = await _read_frame(reader, FrameType.AUTH)
        if not verify(token, greeting.role, theirs + mine, body):
            _refuse(writer, "token", "the job's token is another one")
        reason = judge(greeting)
        if reason:
            _refuse(writer, "place", reason)
        answer = _frame(FrameType.AUTH, proof(token, hello.role, theirs + mine + auth))
        writer.write(answer + _frame(FrameType.WELCOME))
        return greeting


async def introduce_v1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float) -> None:
    """
    Greet an original service.

    Raises:
        HandshakeError: it didn't answer as one.
    """
    async with _within(timeout, "the service"):
        writer.write(_SYN)
        answer = await reader.readexactly(len(_ACK))
        if answer != _ACK:
            raise HandshakeError(f"the service answered {answer!r} instead of ACK")


async def accept_v1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float) -> None:
    """
    Answer an original runner's greeting.

    Raises:
        HandshakeError: it didn't greet as one.
    """
    async with _within(timeout, "the runner"):
        greeting = await reader.readexactly(len(_SYN))
        if greeting != _SYN:
            raise HandshakeError(f"the runner said {greeting!r} instead of SYN")
        writer.write(_ACK)


@asynccontextmanager
async def _within(timeout: float, who: str) -> AsyncIterator[None]:
    """Give the handshake its deadline, and what ends it early a name."""
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError:
        raise HandshakeError(f"{who} didn't finish the handshake within {timeout:g} s") from None
    except (asyncio.IncompleteReadError, OSError) as error:
        raise HandshakeError(f"{who} closed the connection during the handshake") from error


def _frame(type: int, body: bytes = b"") -> bytes:
    return wire.encode_header(type, len(body)) + body


def _refuse(writer: asyncio.StreamWriter, code: str, reason: str) -> None:
    writer.write(_frame(FrameType.REJECT, msgpack.packb([code, reason])))
    raise HandshakeError(reason)


async def _read_hello(reader: asyncio.StreamReader, refuse: asyncio.StreamWriter | None = None) -> tuple[bytes, Hello]:
    magic = await reader.readexactly(len(MAGIC))
    if magic != MAGIC:
        raise HandshakeError(f"the peer is no aioparcs program: it began with {magic!r}")
    frame, body = await _read_frame(reader, FrameType.HELLO)
    try:
        return magic + frame, Hello.decode(body)
    except HandshakeError as error:
        if refuse:
            refuse.write(MAGIC)
            _refuse(refuse, "version", str(error))
        raise


async def _read_frame(reader: asyncio.StreamReader, expected: FrameType) -> tuple[bytes, bytes]:
    head = await reader.readexactly(wire.HEADER_SIZE)
    type, flags, size = wire.decode_header(head)
    if type not in (expected, FrameType.REJECT) or flags or size > MAX_HANDSHAKE_FRAME:
        raise HandshakeError(f"the peer sent a frame of type {type} and {size:,} bytes instead of {expected.name}")
    body = await reader.readexactly(size)
    if type == FrameType.REJECT:
        raise HandshakeError(f"refused: {_reason(body)}")
    return head + body, body


def _reason(body: bytes) -> str:
    try:
        _code, text = msgpack.unpackb(body)
        return str(text)[:500]
    except (ValueError, TypeError, msgpack.UnpackException):
        return "the reason can't be read"
