"""The handshake: who is let in, who is refused, and that the refused one is told why."""

import asyncio
import gc
import os
import shutil
import socket
import struct
import subprocess
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest

from aioparcs import Address, Channel, ConnectionLost, HandshakeError
from aioparcs.auth import MAGIC, Hello, Role, new_nonce, proof
from aioparcs.channel import accept, accept_v1, introduce, introduce_v1, reach, reach_now
from aioparcs.settings import Settings
from aioparcs.transport import dial, listen
from aioparcs.wire import FrameType, decode_header, encode_header
from tests.support.channels import Streams, streams
from tests.support.waiting import PATIENCE, until

TOKEN = bytes(range(32))
KINDS = pytest.mark.parametrize("kind", ["tcp", "tls"])


def hello(role: str = Role.WORKER, **changes: Any) -> Hello:
    return Hello(role, "job", 3, new_nonce(), "tests", 1000, 2000)._replace(**changes)


def frame(type: int, body: bytes = b"") -> bytes:
    return encode_header(type, len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    type, _, size = decode_header(await reader.readexactly(8))
    return type, await reader.readexactly(size)


def welcome(_: Hello) -> str | None:
    return None


async def accept_peer(
    streams: Streams, token: bytes = TOKEN, timeout: float = 5, refusal_reason: Any = welcome
) -> Hello:
    """Accept, and close as a listener does after a refusal."""
    try:
        return await accept(*streams, hello(Role.RUNNER), token, timeout, refusal_reason)
    except HandshakeError:
        streams[1].close()
        raise


async def introduce_self(streams: Streams, token: bytes = TOKEN, timeout: float = 5, **changes: Any) -> Hello:
    """Introduce, and close as a dialler does that was refused."""
    try:
        return await introduce(*streams, hello(**changes), token, timeout)
    except HandshakeError:
        streams[1].close()
        raise


async def handshake(kind: str, listening: dict[str, Any], dialling: dict[str, Any]) -> list[Any]:
    async with streams(kind) as (here, there):
        both = introduce_self(here, **dialling), accept_peer(there, **listening)
        return list(await asyncio.gather(*both, return_exceptions=True))


@KINDS
async def test_both_ends_learn_the_others_hello(kind: str) -> None:
    expected = {"worker": 7, "agent": "someone/1", "max_body": 1, "max_buffers": 2, "job": "another"}
    runner, worker = await handshake(kind, {}, expected)
    assert (runner.role, runner.max_body) == (Role.RUNNER, 1000)
    assert (worker.role, worker._asdict().items() >= expected.items()) == (Role.WORKER, True)


@KINDS
async def test_a_channel_follows_without_losing_what_came_early(kind: str) -> None:
    async with streams(kind) as (here, there):
        accepting = asyncio.ensure_future(accept_peer(there))
        await introduce_self(here)
        first = Channel(*here)
        await first.send_all("early", b"x" * 100_000)
        await accepting
        second = Channel(*there)
        assert [await second.recv(), await second.recv()] == ["early", b"x" * 100_000]
        await asyncio.gather(first.aclose(), second.aclose())


@KINDS
@pytest.mark.parametrize(
    "listening, dialling, reason",
    [
        pytest.param({"token": b"t" * 32}, {}, "token is another", id="wrong token"),
        pytest.param({}, {"versions": (3, 4)}, "wire versions 3 to 4", id="wrong version"),
        pytest.param(
            {"refusal_reason": lambda hello: f"place {hello.worker} is taken"}, {}, "place 3 is taken", id="place"
        ),
        pytest.param({}, {"nonce": b"short"}, "nonce has 5 bytes", id="short nonce"),
        pytest.param({}, {"worker": "three"}, "can't be read", id="not a HELLO"),
    ],
)
async def test_a_refused_peer_reads_the_reason(kind: str, listening: Any, dialling: Any, reason: str) -> None:
    dialler, listener = await handshake(kind, listening, dialling)
    assert isinstance(listener, HandshakeError)
    assert reason in str(listener)
    assert isinstance(dialler, HandshakeError)
    assert str(dialler) == f"refused: {listener}"


@KINDS
@pytest.mark.parametrize(
    "sent, reason",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not an aioparcs peer", id="HTTP"),
        pytest.param(b"SYN" + bytes(20), "not an aioparcs peer", id="version 1"),
        pytest.param(b"", "closed the connection", id="nothing"),
        pytest.param(MAGIC[:5], "closed the connection", id="half the magic"),
        pytest.param(MAGIC + frame(FrameType.HELLO, b"x" * 100)[:50], "closed the connection", id="half a HELLO"),
        pytest.param(MAGIC + encode_header(FrameType.HELLO, 4097), "4,097 bytes", id="an oversized HELLO"),
        pytest.param(MAGIC + encode_header(FrameType.HELLO, 2**47), "bytes instead of HELLO", id="a huge HELLO"),
        pytest.param(MAGIC + frame(FrameType.MSG, b"\x01"), "type 1", id="a message first"),
        pytest.param(MAGIC + frame(FrameType.HELLO, b"\xc1"), "can't be read", id="a broken HELLO"),
        pytest.param(MAGIC + frame(FrameType.HELLO, hello().encode()), "closed the connection", id="no AUTH"),
        pytest.param(
            MAGIC + frame(FrameType.HELLO, hello().encode()) + frame(FrameType.AUTH),
            "token is another",
            id="an empty AUTH",
        ),
    ],
)
async def test_unauthenticated_peers_are_refused(kind: str, sent: bytes, reason: str) -> None:
    async with streams(kind) as (here, there):
        here[1].write(sent)
        if here[1].can_write_eof():
            here[1].write_eof()
        else:
            here[1].close()
        with pytest.raises(HandshakeError, match=reason):
            await accept_peer(there)


@KINDS
async def test_silence_ends_at_the_deadline(kind: str) -> None:
    for operation in (accept_peer, introduce_self):
        async with streams(kind) as (_, there):
            with pytest.raises(HandshakeError, match="within"):
                await operation(there, timeout=0.05)
    async with streams(kind) as (here, there):
        here[1].write(MAGIC + frame(FrameType.HELLO, hello().encode()))  # and then no AUTH
        with pytest.raises(HandshakeError, match="within"):
            await accept_peer(there, timeout=0.05)


@KINDS
async def test_a_peer_that_keeps_sending_does_not_extend_the_deadline(kind: str) -> None:
    async with streams(kind) as (here, there), asyncio.timeout(PATIENCE):
        accepting = asyncio.ensure_future(accept_peer(there, timeout=0.1))
        for byte in MAGIC + frame(FrameType.HELLO, hello().encode()):
            here[1].write(bytes([byte]))
            await asyncio.wait([accepting], timeout=0.01)
            if accepting.done():
                break
        with pytest.raises(HandshakeError, match="within"):
            await accepting


@KINDS
@pytest.mark.parametrize("role", [Role.RUNNER, Role.WORKER])
async def test_a_reflected_proof_is_refused(kind: str, role: str) -> None:
    """A listener without the token sends the dialler's own proof back, in the dialler's role or another."""
    async with streams(kind) as (here, there):
        dialling = asyncio.ensure_future(introduce_self(here))
        reader, writer = there
        await reader.readexactly(len(MAGIC))
        await read_frame(reader)
        writer.write(MAGIC + frame(FrameType.HELLO, hello(role).encode()))
        _, auth = await read_frame(reader)
        writer.write(frame(FrameType.AUTH, auth) + frame(FrameType.WELCOME))
        with pytest.raises(HandshakeError, match="doesn't know the job's token"):
            await dialling


@KINDS
async def test_a_replayed_handshake_is_refused(kind: str) -> None:
    """What a worker once sent, sent again word for word: the listener's nonce is another one."""
    sent = MAGIC + frame(FrameType.HELLO, hello().encode())
    async with streams(kind) as (here, there):
        accepting = asyncio.ensure_future(accept_peer(there))
        here[1].write(sent)
        await here[0].readexactly(len(MAGIC))
        _, body = await read_frame(here[0])
        recorded = proof(TOKEN, Role.WORKER, sent + MAGIC + frame(FrameType.HELLO, body))
        here[1].write(frame(FrameType.AUTH, recorded))
        await accepting
    async with streams(kind) as (here, there):
        here[1].write(sent + frame(FrameType.AUTH, recorded))
        with pytest.raises(HandshakeError, match="token is another"):
            await accept_peer(there)


@KINDS
@pytest.mark.parametrize("verdict", [b"\xc1", b"\x93\x01\x02\x03", b"\x01"])
async def test_an_invalid_reject_frame_is_an_error(kind: str, verdict: bytes) -> None:
    async with streams(kind) as (here, there):
        dialling = asyncio.ensure_future(introduce_self(here))
        there[1].write(MAGIC + frame(FrameType.REJECT, verdict))
        with pytest.raises(HandshakeError, match="can't be read"):
            await dialling


@KINDS
async def test_version_1_greets_and_is_answered(kind: str) -> None:
    async with streams(kind) as (here, there):
        await asyncio.gather(introduce_v1(*here, 5), accept_v1(*there, 5))
    for sent, operation in ((b"NAK", introduce_v1), (b"HEY", accept_v1)):
        async with streams(kind) as (here, there):
            there[1].write(sent)
            with pytest.raises(HandshakeError, match=sent.decode()):
                await operation(*here, 5)
    async with streams(kind) as (here, there):
        there[1].write(b"A")
        with pytest.raises(HandshakeError, match="within"):
            await introduce_v1(*here, 0.05)


@asynccontextmanager
async def listening(on_connect: Callable[..., Awaitable[None]]) -> AsyncIterator[Address]:
    listener = await listen(Address("tcp", "127.0.0.1"), on_connect)
    try:
        yield listener.address
    finally:
        await listener.aclose()


async def test_the_listener_goes_on_after_any_connection() -> None:
    refused: list[str] = []
    welcomed: list[int] = []

    async def on_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            welcomed.append((await accept(reader, writer, hello(Role.RUNNER), TOKEN, 0.2, welcome)).worker)
        except HandshakeError as error:
            refused.append(str(error))
        writer.close()

    async with listening(on_connect) as address:
        unauthenticated = [await dial(address) for _ in range(4)]
        unauthenticated[0][1].write(b"GET / HTTP/1.1\r\n\r\n")
        unauthenticated[1][1].write(MAGIC + encode_header(FrameType.HELLO, 5000))
        unauthenticated[2][1].close()
        with pytest.raises(HandshakeError, match="refused: the job's token"):
            await introduce_self(await dial(address), token=b"?" * 32)
        for number in range(3):
            ends = await dial(address)
            await introduce_self(ends, worker=number)
            ends[1].close()
        await until(lambda: len(refused) == 5)
        assert welcomed == [0, 1, 2]
        for _, writer in unauthenticated:
            writer.close()


@asynccontextmanager
async def hanging_up(times: int) -> AsyncIterator[tuple[Address, list[int]]]:
    """Listen, and close so many connections before one is let in."""
    came: list[int] = []

    async def on_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(len(came))
        if len(came) <= times:
            writer.transport.abort()
            return
        with suppress(HandshakeError):
            await accept_peer((reader, writer))
        writer.close()

    async with listening(on_connect) as address:
        yield address, came


async def test_a_listener_that_hangs_up_is_dialled_again() -> None:
    settings = Settings(connect_timeout=5.0)
    async with hanging_up(2) as (address, came):
        _, writer, runner = await reach(address, hello(), TOKEN, settings)
        writer.close()
        assert (runner.role, len(came)) == (Role.RUNNER, 3)
    async with hanging_up(2) as (address, came):
        sock, runner = await asyncio.to_thread(reach_now, address, hello(), TOKEN, settings)
        sock.close()
        assert (runner.role, len(came)) == (Role.RUNNER, 3)


async def test_dialling_a_listener_that_always_hangs_up_fails() -> None:
    settings = Settings(connect_timeout=0.5)
    async with hanging_up(1000) as (address, came):
        with pytest.raises(HandshakeError, match="closed the connection during the handshake"):
            await reach(address, hello(), TOKEN, settings)
        with pytest.raises(HandshakeError, match="closed the connection during the handshake"):
            await asyncio.to_thread(reach_now, address, hello(), TOKEN, settings)
        assert 2 <= len(came) < 20  # how often, is a matter of the machine; that it waits between two tries, is not


async def test_a_connection_broken_in_its_handshake_is_freed_without_gc() -> None:
    protocols: list[weakref.ref[asyncio.BaseProtocol]] = []
    ended = asyncio.Event()

    async def on_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocols.append(weakref.ref(writer.transport.get_protocol()))
        with suppress(HandshakeError):
            await accept_peer((reader, writer))
        writer.transport.abort()
        ended.set()

    async with listening(on_connect) as address:
        gc.collect()
        gc.disable()
        try:
            with socket.create_connection((address.host, address.port)) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closed, it is reset
                sock.sendall(MAGIC)
                await until(lambda: protocols)
            await ended.wait()
            await until(lambda: protocols[0]() is None)
        finally:
            gc.enable()


async def test_a_silent_listener_is_given_up_when_the_time_for_all_tries_is_over() -> None:
    async def on_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    settings = Settings(connect_timeout=0.5, handshake_timeout=60.0)
    async with listening(on_connect) as address, asyncio.timeout(20):
        with pytest.raises(HandshakeError, match=r"the listener didn't finish the handshake within 0\.[0-5]"):
            await reach(address, hello(), TOKEN, settings)
        with pytest.raises(HandshakeError, match=r"the listener didn't finish the handshake within 0\.[0-5]"):
            await asyncio.to_thread(reach_now, address, hello(), TOKEN, settings)


@contextmanager
def no_route() -> Iterator[tuple[Address, Callable[[], object]]]:
    """Yield an address of this machine to which there is no route, and a function that gives it one."""
    host = f"198.51.100.{1 + os.getpid() % 250}/32"  # TEST-NET-2 of RFC 5737
    subprocess.run(["ip", "route", "add", "unreachable", host], check=True)
    add = ["ip", "address", "add", host, "dev", "lo"]
    try:
        yield Address("tcp", host[:-3], 7001), lambda: subprocess.run(add, check=True)
    finally:
        subprocess.run(["ip", "route", "del", "unreachable", host], check=True)
        subprocess.run(["ip", "address", "del", host, "dev", "lo"], capture_output=True)  # not there if the test failed


@pytest.mark.slow
@pytest.mark.one_loop
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="a route needs root and ip")
async def test_a_host_without_a_route_is_dialled_longer() -> None:
    settings = Settings(connect_timeout=0.5)

    async def on_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept_peer((reader, writer))
        writer.close()

    async def reach_in_a_thread(address: Address) -> None:
        sock, _ = await asyncio.to_thread(reach_now, address, hello(), TOKEN, settings)
        sock.close()

    async def reach_here(address: Address) -> None:
        _, writer, _ = await reach(address, hello(), TOKEN, settings)
        writer.close()

    for dialled in (reach_here, reach_in_a_thread):
        with no_route() as (address, add_route):
            with pytest.raises(ConnectionLost, match=r"within 0\.3 s: No route to host"):  # given, it is kept
                await reach(address, hello(), TOKEN, settings, 0.3)
            async with asyncio.timeout(20):
                with pytest.raises(ConnectionLost, match=r"within 2 s: No route to host"):
                    await dialled(address)
            dialling = asyncio.ensure_future(dialled(address))
            await asyncio.wait([dialling], timeout=2 * settings.connect_timeout)
            assert not dialling.done()
            add_route()
            listener = await listen(address, on_connect)
            await dialling
            await listener.aclose()


async def test_a_listener_that_refuses_is_not_dialled_again() -> None:
    async with hanging_up(0) as (address, came):
        with pytest.raises(HandshakeError, match="refused: the job's token is another one"):
            await reach(address, hello(), bytes(32), Settings())
        assert came == [0]


@KINDS
async def test_the_refusal_of_a_listener_is_printable(kind: str) -> None:
    caught = await handshake(kind, {"refusal_reason": lambda hello: "no\x1b[2J\n\x9b\u202e"}, {})
    assert str(caught[0]) == "refused: no?[2J???"
