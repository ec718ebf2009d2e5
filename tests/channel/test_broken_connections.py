"""The channel over a connection that is cut, held back or silenced, at every byte."""

import asyncio
import os
import select
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aioparcs import Channel, ConnectionLost, ProtocolError, Settings
from aioparcs.testing import memory_pair
from aioparcs.transport.sockets import streams_of
from aioparcs.wire import FrameType, encode_frame, encode_header
from tests.support.channels import SMALL, at_once, both, network, streams, waits
from tests.support.waiting import PATIENCE, until

MESSAGES: list[Any] = ["ab", b"\x00" * 8200, [1, b"\x01" * 8200], "cd", {"e": None}]
# Every byte of the small frames and of what is around the large ones; of their insides a sample.
PLACES = [*range(30), 4000, *range(8205, 8250), 12_000, *range(16_420, 16_480)]


async def collect(channel: Channel) -> tuple[list[Any], BaseException | None]:
    got = []
    try:
        async for message in channel:
            got.append(message)
    except ConnectionLost as error:
        return got, error
    return got, None


async def test_a_connection_cut_at_any_byte_delivers_whole_messages_and_then_its_loss() -> None:
    async with network() as (here, there, net):
        await here.send_all(*MESSAGES)
        await here.aclose()
        assert await collect(there) == (MESSAGES, None)
        total = net.forward.carried - len(encode_frame(FrameType.BYE)[0])
    for place in [n for n in PLACES if n < total]:
        async with network() as (here, there, net):
            net.forward.cut(after=place)
            await here.send_all(*MESSAGES)
            got, error = await collect(there)
            assert got == MESSAGES[: len(got)]
            assert len(got) < len(MESSAGES)
            assert "cut" in str(error)
            with pytest.raises(ConnectionLost, match="cut"):
                await here.recv()


async def test_a_stream_that_ends_at_any_byte_is_a_loss() -> None:
    frames = b"".join(encode_header(FrameType.MSG, 1) + bytes([i]) for i in range(3))
    for place in range(len(frames)):
        here, (_, writer), _ = memory_pair()
        channel = Channel(*here)
        writer.write(frames[:place])
        writer.write_eof()
        got, error = await collect(channel)
        assert got == list(range(place // 9))
        assert error is not None
        await channel.aclose()
        writer.transport.abort()


@pytest.mark.parametrize("size", [1, 7, 8, 9, 100])
async def test_bytes_that_come_piece_by_piece_are_the_same_messages(size: int) -> None:
    stream = b"".join(
        bytes(piece)
        for frame in (
            encode_frame(FrameType.MSG, b"\x05"),
            encode_frame(FrameType.RAW, b"", (b"r" * 300,)),
            encode_frame(FrameType.MSG, b"\x92\xc7\x01\x03\x00\x06", (b"b" * 200,)),
            encode_frame(FrameType.PING),
            encode_frame(FrameType.MSG, b"\xa5" + b"later"),
            encode_frame(FrameType.BYE),
        )
        for piece in frame
    )
    here, (_, writer), net = memory_pair()
    async with Channel(*here) as channel, asyncio.TaskGroup() as group:
        receiving = group.create_task(collect(channel))
        for at in range(0, len(stream), size):
            writer.write(stream[at : at + size])
            await until(lambda: not net.forward.in_flight, pause=0)
        assert await receiving == ([5, b"r" * 300, [b"b" * 200, 6], "later"], None)
    writer.transport.abort()


async def test_held_bytes_arrive_on_release_and_aclose_gives_up_at_its_deadline() -> None:
    async with network() as (here, there, net):
        net.forward.hold()
        await here.send("held")
        receiving = asyncio.ensure_future(there.recv())
        await waits(receiving)
        net.forward.release()
        assert await receiving == "held"
        net.back.hold()
        await here.aclose(0.05)
        assert here.statistics().state == "closed"


async def test_lost_bytes_break_the_stream() -> None:
    async with network(Settings(max_body=1000)) as (here, there, net):
        net.forward.drop(3)
        await here.send("a message without its first bytes, so that the next bytes are read as a header")
        with pytest.raises(ProtocolError):
            await there.recv()
        with pytest.raises(ProtocolError):
            await there.send("no")


async def test_aclose_waits_for_a_silent_peer_until_its_deadline() -> None:
    async with network(Settings(close_timeout=60.0)) as (here, _, net):
        net.forward.drop()
        await here.send("lost")
        async with asyncio.timeout(PATIENCE):
            await here.aclose(0.05)


async def test_both_ends_of_a_cut_connection_raise_connection_lost() -> None:
    async with network() as (here, there, net):
        receiving = [asyncio.ensure_future(end.recv()) for end in (here, there)]
        await asyncio.sleep(0)
        net.back.cut()
        for waiting in receiving:
            with pytest.raises(ConnectionLost, match="cut"):
                await waiting
        async with both(here, there):
            pass


# A write that fails before what the peer has sent is read

BREAKS = pytest.mark.parametrize("kind", ["unix", "tcp"])
UNREAD = pytest.mark.parametrize("unread", [False, True], ids=["read all", "unread bytes"])


@asynccontextmanager
async def raw_peer(kind: str, settings: Settings | None = None) -> AsyncIterator[tuple[Channel, socket.socket]]:
    """Open a channel to a bare socket."""
    if kind == "unix":
        ours, peer = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            peer, _ = server.accept()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 512 << 10)
    peer.settimeout(PATIENCE)
    with peer:
        channel = Channel(*await streams_of(ours), settings=settings)
        try:
            yield channel, peer
        finally:
            channel.abort()
            await channel.aclose()


def frames_of(*messages: bytes) -> bytes:
    return b"".join(bytes(piece) for data in messages for piece in encode_frame(FrameType.RAW, b"", (data,)))


def die(channel: Channel, peer: socket.socket, *, unread: bool) -> None:
    """Close the peer's socket, and write to it before the loop can read: the second write meets a reset over TCP."""
    if unread:
        at_once(channel.send("never read"))
    peer.close()
    watched = select.poll()
    watched.register(channel.connection.outbox.fd, 0)  # for the hang-up
    for _ in range(2):
        channel.connection.outbox.write(encode_header(FrameType.PING, 0))
        if channel.connection.transport.is_closing():
            return
        assert watched.poll(1000 * PATIENCE)


@BREAKS
@UNREAD
async def test_what_was_sent_before_a_write_failed_arrives_before_the_loss(kind: str, unread: bool) -> None:
    messages = [bytes([i]) * (1 + 40 * i) for i in range(50)]
    async with raw_peer(kind) as (channel, peer):
        peer.sendall(frames_of(*messages))
        die(channel, peer, unread=unread)
        got, error = await collect(channel)
        assert got == messages
        assert "Broken pipe" in str(error) or "reset" in str(error)
        assert not channel.connection.reader.is_cut
        with pytest.raises(ConnectionLost):
            await channel.send("no")


async def test_the_rest_of_a_large_message_arrives_before_the_loss() -> None:
    large = bytes(range(256)) * 900
    frame = frames_of(large)
    async with raw_peer("unix") as (channel, peer):
        begun = 60_000
        peer.sendall(frame[:begun])
        await until(lambda: channel.connection.bytes_received == begun)
        peer.sendall(frame[begun:] + frames_of(b"last"))
        die(channel, peer, unread=True)  # over TCP the reset would discard what our window has no room for
        got, error = await collect(channel)
        assert got == [large, b"last"]
        assert error is not None


@BREAKS
async def test_what_arrived_while_reading_was_paused_arrives_before_the_loss(kind: str) -> None:
    messages = [bytes([i]) * 8000 for i in range(20)]
    async with raw_peer(kind, SMALL) as (channel, peer):
        peer.sendall(frames_of(*messages[:10]))
        await until(lambda: channel.connection.inbox.paused)
        peer.sendall(frames_of(*messages[10:]))
        die(channel, peer, unread=True)
        await until(lambda: channel.statistics().state == "closed")
        assert (await collect(channel))[0] == messages


@BREAKS
async def test_a_receiver_that_answers_while_the_rest_is_read_gets_the_loss(kind: str) -> None:
    async with raw_peer(kind) as (channel, peer):

        async def echo() -> None:
            while True:
                await channel.send(await channel.recv())

        echoing = asyncio.ensure_future(echo())
        await waits(echoing)
        peer.sendall(frames_of(*[b"x"] * 20))
        die(channel, peer, unread=False)
        with pytest.raises(ConnectionLost):
            await echoing


@BREAKS
async def test_results_sent_before_a_write_failed_are_the_calls_results(kind: str) -> None:
    async with raw_peer(kind) as (channel, peer):
        calling = asyncio.ensure_future(channel.call("f"))
        await waits(calling)
        peer.sendall(bytes(encode_frame(FrameType.RESULT, b"\x93\x00\xc3\x07")[0]))
        die(channel, peer, unread=True)
        assert await calling == 7


@BREAKS
async def test_a_stream_that_breaks_the_format_in_its_rest_is_cut(kind: str) -> None:
    async with raw_peer(kind) as (channel, peer):
        peer.sendall(frames_of(b"good") + b"\xff" * 8)
        die(channel, peer, unread=False)
        assert await channel.recv() == b"good"
        with pytest.raises(ProtocolError):
            await channel.recv()
        assert channel.connection.reader.is_cut


async def test_a_peer_that_only_stops_reading_counts_as_cut() -> None:
    async with raw_peer("unix") as (channel, peer):
        peer.sendall(frames_of(b"sent"))
        peer.shutdown(socket.SHUT_RD)
        channel.connection.outbox.write(encode_header(FrameType.PING, 0))
        assert (await collect(channel))[0] == [b"sent"]
        assert channel.connection.reader.is_cut


async def test_over_tls_nothing_is_written_to_a_peer_that_has_hung_up() -> None:
    """A failed write would close the socket with what the peer had sent."""
    async with streams("tls") as (here, (_, there)):
        channel = Channel(*here)
        with socket.socket(fileno=os.dup(there.get_extra_info("socket").fileno())) as peer:
            there.write(frames_of(b"sent"))
            peer.shutdown(socket.SHUT_RDWR)
        for _ in range(3):
            channel.connection.outbox.write(encode_header(FrameType.PING, 0))
        got, error = await collect(channel)
        assert got == [b"sent"]
        assert "broke" not in str(error)
        assert not channel.connection.reader.is_cut


async def test_over_tls_a_connection_whose_write_failed_counts_as_cut() -> None:
    async with streams("tls") as (here, (_, there)):
        channel = Channel(*here)
        transport, ours = channel.connection.transport, here[1].get_extra_info("socket")
        with socket.socket(fileno=os.dup(there.get_extra_info("socket").fileno())) as peer:
            peer.shutdown(socket.SHUT_RDWR)  # a write to it is answered by a reset
        transport.write(encode_header(FrameType.PING, 0))  # as when it hangs up in between
        watched = select.poll()
        watched.register(ours.fileno(), 0)
        assert watched.poll(1000 * PATIENCE)
        transport.write(encode_header(FrameType.PING, 0))
        with pytest.raises(ConnectionLost, match=r"reset|Broken pipe"):
            await channel.recv()
        await until(lambda: channel.statistics().state == "closed")
        assert channel.connection.reader.is_cut
