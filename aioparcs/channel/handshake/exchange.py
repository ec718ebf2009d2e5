"""
The handshake: authentication of both sides, before a connection is a channel.

The bytes are `aioparcs.auth`'s. Until the verdict nothing larger than `MAX_HANDSHAKE_FRAME` is read, and all of
it happens within one deadline.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from time import monotonic
from typing import TypeVar

import msgpack

from aioparcs import wire
from aioparcs.auth import MAGIC, MAX_HANDSHAKE_FRAME, Hello, proof, verify
from aioparcs.errors import HandshakeError
from aioparcs.wire import FrameType

__all__ = ["HungUp", "accept", "accept_v1", "introduce", "introduce_now", "introduce_v1"]

_SYN, _ACK = b"SYN", b"ACK"
_LISTENER = "the listener"
_LATE = "{who} didn't finish the handshake within {timeout:g} s"
_CLOSED = "{who} closed the connection during the handshake"
_SHORTEST = 0.001  # seconds; a timeout of 0 would mean something else

_Write = Callable[[bytes], object]
# One side of the handshake, without I/O: it yields how many bytes it needs next, and writes by a function.
_Steps = Generator[int, bytes, Hello]
_Result = TypeVar("_Result")


class HungUp(HandshakeError):
    """
    The other side has closed the connection without a verdict.

    Attributes:
        peer: what it has said of itself before, or None.
    """

    peer: Hello | None = None


async def introduce(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: Hello, token: bytes, timeout: float
) -> Hello:
    """
    Shake hands with a listener that this program has dialled.

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
    async with _within(timeout, _LISTENER):
        return await _read_for(_introduction(writer.write, hello, token), reader)


def introduce_now(sock: socket.socket, hello: Hello, token: bytes, timeout: float) -> Hello:
    """
    Shake hands with a listener as `introduce` does, over a plain socket and without an event loop.

    Args:
        sock: the fresh connection; it is given a timeout. The caller closes it when this raises.
        hello: what to say of this program.
        token: the job's token.
        timeout: seconds for the whole handshake.

    Returns:
        What the listener said of itself.

    Raises:
        HandshakeError: see `introduce`.
    """
    deadline = monotonic() + timeout
    sock.settimeout(timeout)
    steps = _introduction(sock.sendall, hello, token)
    try:
        missing, data = next(steps), b""
        while True:
            chunk = sock.recv(missing)
            if not chunk:
                raise HungUp(_CLOSED.format(who=_LISTENER))
            data, missing = data + chunk, missing - len(chunk)
            if not missing:
                missing, data = steps.send(data), b""
            sock.settimeout(max(deadline - monotonic(), _SHORTEST))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    except TimeoutError:
        raise HandshakeError(_LATE.format(who=_LISTENER, timeout=timeout)) from None
    except OSError as error:
        raise HungUp(_CLOSED.format(who=_LISTENER)) from error


def _introduction(write: _Write, hello: Hello, token: bytes) -> _Steps:
    mine = MAGIC + _frame(FrameType.HELLO, hello.encode())
    write(mine)
    theirs, greeting = yield from _read_hello()
    auth = _frame(FrameType.AUTH, proof(token, hello.role, mine + theirs))
    write(auth)
    _, body = yield from _read_frame(FrameType.AUTH)
    # The listener's proof covers the dialler's as well: two workers have one role, and an echo is no proof.
    if not verify(token, greeting.role, mine + theirs + auth, body):
        raise HandshakeError("the listener doesn't know the job's token")
    yield from _read_frame(FrameType.WELCOME)
    return greeting


async def accept(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    hello: Hello,
    token: bytes,
    timeout: float,
    refusal_reason: Callable[[Hello], str | None],
) -> Hello:
    """
    Shake hands with a peer that has dialled: read who it is, then accept or refuse it.

    Cancelling it leaves the connection unusable; the caller closes it.

    Args:
        reader: the fresh connection's reading end.
        writer: its writing end.
        hello: what to say of this program.
        token: the job's token.
        timeout: seconds for the whole handshake.
        refusal_reason: called once the peer has proved that it knows the token; returns why it is refused, or None.

    Returns:
        What the peer said of itself.

    Raises:
        HandshakeError: the peer was refused, or didn't speak in time.
    """
    peer: Hello | None = None
    try:
        async with _within(timeout, "the peer"):
            greeting = await _read_for(_read_hello(refuse=writer.write), reader)
            peer = greeting[1]
            await _read_for(_acceptance(writer.write, hello, token, greeting, refusal_reason), reader)
            return peer
    except HungUp as error:
        error.peer = peer
        raise


def _acceptance(
    write: _Write,
    hello: Hello,
    token: bytes,
    greeting: tuple[bytes, Hello],
    refusal_reason: Callable[[Hello], str | None],
) -> Generator[int, bytes, None]:
    theirs, peer = greeting
    mine = MAGIC + _frame(FrameType.HELLO, hello.encode())
    write(mine)
    auth, body = yield from _read_frame(FrameType.AUTH)
    if not verify(token, peer.role, theirs + mine, body):
        _refuse(write, "token", "the job's token is another one")
    reason = refusal_reason(peer)
    if reason:
        _refuse(write, "place", reason)
    answer = _frame(FrameType.AUTH, proof(token, hello.role, theirs + mine + auth))
    write(answer + _frame(FrameType.WELCOME))


async def introduce_v1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float) -> None:
    """
    Send an original service its greeting.

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
    """Run the handshake within its deadline, and raise `HandshakeError` for what ends it early."""
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError:
        raise HandshakeError(_LATE.format(who=who, timeout=timeout)) from None
    except (asyncio.IncompleteReadError, OSError) as error:
        # Without its frames: asyncio's protocol keeps the error of a lost connection in a future, the frames keep the
        # protocol, and what then finds this circle reports the future as one whose exception was never retrieved.
        raise HungUp(_CLOSED.format(who=who)) from error.with_traceback(None)


async def _read_for(steps: Generator[int, bytes, _Result], reader: asyncio.StreamReader) -> _Result:
    try:
        size = next(steps)
        while True:
            size = steps.send(await reader.readexactly(size))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def _frame(type: int, body: bytes = b"") -> bytes:
    return wire.encode_header(type, len(body)) + body


def _refuse(write: _Write, code: str, reason: str) -> None:
    write(_frame(FrameType.REJECT, msgpack.packb([code, reason])))
    raise HandshakeError(reason)


def _read_hello(refuse: _Write | None = None) -> Generator[int, bytes, tuple[bytes, Hello]]:
    magic = yield len(MAGIC)
    if magic != MAGIC:
        raise HandshakeError(f"not an aioparcs peer (first bytes {magic!r})")
    frame, body = yield from _read_frame(FrameType.HELLO)
    try:
        return magic + frame, Hello.decode(body)
    except HandshakeError as error:
        if refuse:
            refuse(MAGIC)
            _refuse(refuse, "version", str(error))
        raise


def _read_frame(expected: FrameType) -> Generator[int, bytes, tuple[bytes, bytes]]:
    head = yield wire.HEADER_SIZE
    type, flags, size = wire.decode_header(head)
    if type not in (expected, FrameType.REJECT) or flags or size > MAX_HANDSHAKE_FRAME:
        raise HandshakeError(f"the peer sent a frame of type {type} and {size:,} bytes instead of {expected.name}")
    body = (yield size) if size else b""
    if type == FrameType.REJECT:
        raise HandshakeError(f"refused: {_reason(body)}")
    return head + body, body


def _reason(body: bytes) -> str:
    try:
        _code, text = msgpack.unpackb(body)
        return "".join(one if one.isprintable() else "?" for one in str(text)[:500])
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        return "the reason can't be read"
