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
from typing import NamedTuple, TypeVar

import msgpack

from aioparcs import wire
from aioparcs.auth import MAGIC, MAX_HANDSHAKE_FRAME, Hello, proof, verify
from aioparcs.errors import HandshakeError
from aioparcs.wire import FrameType

__all__ = ["HungUp", "accept", "accept_v1", "answers_to", "introduce", "introduce_now", "introduce_v1"]

_SYN, _ACK = b"SYN", b"ACK"
_LISTENER = "the listener"
_LATE = "{peer} didn't finish the handshake within {timeout:g} s"
_CLOSED = "{peer} closed the connection during the handshake"
_SHORTEST = 0.001  # seconds; a timeout of 0 would mean something else

_Result = TypeVar("_Result")


class _Step(NamedTuple):
    """What one side of a handshake does next: it writes its output, then reads so many bytes."""

    output: bytes
    size: int


# One side of the handshake, or a part of it, without I/O: it yields each step, and is sent the bytes that were read.
_Steps = Generator[_Step, bytes, _Result]


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
        return await _run(_introduction(hello, token), reader, writer)


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
    steps = _introduction(hello, token)
    try:
        step = next(steps)
        while True:
            if step.output:
                sock.sendall(step.output)
            step = steps.send(_recv_exactly(sock, step.size, deadline))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    except TimeoutError:
        raise HandshakeError(_LATE.format(peer=_LISTENER, timeout=timeout)) from None
    except OSError as error:
        raise HungUp(_CLOSED.format(peer=_LISTENER)) from error


def _recv_exactly(sock: socket.socket, size: int, deadline: float) -> bytes:
    data = b""
    while len(data) < size:
        sock.settimeout(max(deadline - monotonic(), _SHORTEST))
        chunk = sock.recv(size - len(data))
        if not chunk:
            raise HungUp(_CLOSED.format(peer=_LISTENER))
        data += chunk
    return data


def _introduction(hello: Hello, token: bytes) -> _Steps[Hello]:
    own_hello = MAGIC + _frame(FrameType.HELLO, hello.encode())
    peer_hello, body = yield from _read_hello(own_hello)
    listener = Hello.decode(body)
    auth = _frame(FrameType.AUTH, proof(token, hello.role, own_hello + peer_hello))
    _, body = yield from _read_frame(FrameType.AUTH, auth)
    # The listener's proof covers the dialler's as well: two workers have one role, and an echo is no proof.
    if not verify(token, listener.role, own_hello + peer_hello + auth, body):
        raise HandshakeError("the listener doesn't know the job's token")
    _, welcome = yield from _read_frame(FrameType.WELCOME)
    return listener._replace(welcome=welcome)


def answers_to(dialler: Hello, listener: Hello, token: bytes) -> tuple[bytes, int]:
    """Return all that a listener sends to a dialler whom it accepts, and how many bytes that one sends."""
    own_hello = MAGIC + _frame(FrameType.HELLO, dialler.encode())
    peer_hello = MAGIC + _frame(FrameType.HELLO, listener.encode())
    auth = _frame(FrameType.AUTH, proof(token, dialler.role, own_hello + peer_hello))
    answer = proof(token, listener.role, own_hello + peer_hello + auth)
    return peer_hello + _frame(FrameType.AUTH, answer) + _frame(FrameType.WELCOME), len(own_hello + auth)


async def accept(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    hello: Hello,
    token: bytes,
    timeout: float,
    refusal_reason: Callable[[Hello], str | None],
    welcome: Callable[[Hello], bytes] = lambda _peer: b"",
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
        welcome: returns the body of the WELCOME.

    Returns:
        What the peer said of itself.

    Raises:
        HandshakeError: the peer was refused, or didn't speak in time.
    """
    peer: Hello | None = None
    try:
        async with _within(timeout, "the peer"):
            peer_hello, greeting = await _run(_receive_hello(), reader, writer)
            peer = greeting
            answer = await _run(_authenticate(hello, token, peer_hello, greeting), reader, writer)
            reason = refusal_reason(greeting)
            if reason:
                await _run(_reject("place", reason), reader, writer)
            writer.write(answer + _frame(FrameType.WELCOME, welcome(greeting)))
            return greeting
    except HungUp as error:
        error.peer = peer
        raise


def _receive_hello() -> _Steps[tuple[bytes, Hello]]:
    peer_hello, body = yield from _read_hello()
    try:
        return peer_hello, Hello.decode(body)
    except HandshakeError as error:
        yield from _reject("version", str(error), output=MAGIC)
        raise


def _authenticate(hello: Hello, token: bytes, peer_hello: bytes, peer: Hello) -> _Steps[bytes]:
    """Check the dialler's proof, and return the frame with the listener's."""
    own_hello = MAGIC + _frame(FrameType.HELLO, hello.encode())
    auth, body = yield from _read_frame(FrameType.AUTH, own_hello)
    if not verify(token, peer.role, peer_hello + own_hello, body):
        yield from _reject("token", "the job's token is another one")
    return _frame(FrameType.AUTH, proof(token, hello.role, peer_hello + own_hello + auth))


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
            raise HandshakeError(f"the runner sent {greeting!r} instead of SYN")
        writer.write(_ACK)


@asynccontextmanager
async def _within(timeout: float, peer: str) -> AsyncIterator[None]:
    """Run the handshake within its deadline, and raise `HandshakeError` for what ends it early."""
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError:
        raise HandshakeError(_LATE.format(peer=peer, timeout=timeout)) from None
    except (asyncio.IncompleteReadError, OSError) as error:
        # Without its frames: asyncio's protocol keeps the error of a lost connection in a future, the frames keep the
        # protocol, and what then finds this circle reports the future as one whose exception was never retrieved.
        raise HungUp(_CLOSED.format(peer=peer)) from error.with_traceback(None)


async def _run(steps: _Steps[_Result], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Result:
    try:
        step = next(steps)
        while True:
            if step.output:
                writer.write(step.output)
            # A reader whose connection has broken reads nothing, not even no bytes.
            step = steps.send(await reader.readexactly(step.size) if step.size else b"")
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def _frame(type: int, body: bytes = b"") -> bytes:
    return wire.encode_header(type, len(body)) + body


def _reject(code: str, reason: str, output: bytes = b"") -> _Steps[None]:
    """Write the output, send the peer the reason why it is refused, and raise that reason here."""
    yield _Step(output + _frame(FrameType.REJECT, msgpack.packb([code, reason])), 0)
    raise HandshakeError(reason)


def _read_hello(output: bytes = b"") -> _Steps[tuple[bytes, bytes]]:
    """Write the output, then read the peer's HELLO; return all its bytes, and the body alone."""
    magic = yield _Step(output, len(MAGIC))
    if magic != MAGIC:
        raise HandshakeError(f"not an aioparcs peer (first bytes {magic!r})")
    frame, body = yield from _read_frame(FrameType.HELLO)
    return magic + frame, body


def _read_frame(expected: FrameType, output: bytes = b"") -> _Steps[tuple[bytes, bytes]]:
    """Write the output, then read a frame; return all its bytes, and the body alone."""
    head = yield _Step(output, wire.HEADER_SIZE)
    type, flags, size = wire.decode_header(head)
    if type not in (expected, FrameType.REJECT) or flags or size > MAX_HANDSHAKE_FRAME:
        raise HandshakeError(f"the peer sent a frame of type {type} and {size:,} bytes instead of {expected.name}")
    body = (yield _Step(b"", size)) if size else b""
    if type == FrameType.REJECT:
        raise HandshakeError(f"refused: {_reason(body)}")
    return head + body, body


def _reason(body: bytes) -> str:
    try:
        _code, text = msgpack.unpackb(body)
        return "".join(one if one.isprintable() else "?" for one in str(text)[:500])
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        return "the reason can't be read"
