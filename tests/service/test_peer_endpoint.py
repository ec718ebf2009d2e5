"""The listener of a worker: who is let in, who waits, and that nothing is left when it closes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from aioparcs import Address, Channel, ChannelClosed, ConnectionLost, EndOfChannel, HandshakeError, SettingError
from aioparcs.auth import MAGIC, Hello, Role
from aioparcs.launcher.connect import connect
from aioparcs.launcher.context import RunnerEndpoint
from aioparcs.service import peer_endpoint
from aioparcs.service.peer_endpoint import PeerEndpoint
from aioparcs.settings import Settings
from aioparcs.task import WorkerHandle
from aioparcs.transport import dial as dial_only
from aioparcs.wire import FrameType, encode_header

SETTINGS = Settings(connect_timeout=5.0, close_timeout=5.0)
RUNNERS = {
    "unix": RunnerEndpoint(Address("unix", "@runner"), "job", 0, bytes(32), None),
    "tcp": RunnerEndpoint(Address("tcp", "127.0.0.1", 1), "job", 0, bytes(32), None),
    "tls": RunnerEndpoint(Address("tcp", "127.0.0.1", 1, fingerprint="00"), "job", 0, bytes(32), None),
    "subnet": RunnerEndpoint(Address("tcp", "10.1.2.3", 1), "job", 0, bytes(32), None, "203.0.113.0/24,127.0.0.0/8"),
}
kinds = pytest.mark.parametrize("kind", RUNNERS)


@asynccontextmanager
async def two(kind: str = "unix") -> AsyncIterator[tuple[PeerEndpoint, PeerEndpoint]]:
    endpoints = [PeerEndpoint(RUNNERS[kind], SETTINGS, worker) for worker in (3, 4)]
    try:
        yield endpoints[0], endpoints[1]
    finally:
        await asyncio.gather(*(endpoint.aclose() for endpoint in endpoints))


async def dial(kind: str, address: Address, role: str, worker: int) -> Channel:
    """Dial as another program of the job does: a child's runner endpoint has this address."""
    reader, writer, _ = await connect(RUNNERS[kind]._replace(address=address), role, worker, SETTINGS)
    return Channel(reader, writer)


@kinds
async def test_two_endpoints_connect(kind: str) -> None:
    async with two(kind) as (here, there):
        address = await here.address()
        assert address == await here.address()
        assert (address.worker, address.scheme) == (3, "unix" if kind == "unix" else "tcp")
        assert bool(address.fingerprint) == (kind == "tls")
        dialled, accepted = await asyncio.gather(there.connect(address), here.accept())
        assert (dialled.peer, accepted.peer) == (3, 4)
        await dialled.send("hello")
        assert await accepted.recv() == "hello"
        await accepted.aclose()
        with pytest.raises(EndOfChannel, match="worker 3 has ended"):
            await dialled.recv()


class Owner:
    def kill(self, task: WorkerHandle, number: int) -> None: ...
    def can_keep(self, task: WorkerHandle) -> bool:
        return False

    async def keep(self, task: WorkerHandle, views: object) -> None: ...


def worker(number: int) -> WorkerHandle:
    """Return the handle of a worker that is expected."""
    return WorkerHandle("any", number, 0, 1, SETTINGS, Owner())


@kinds
async def test_a_child_connects_to_the_start_that_expects_it_only(kind: str) -> None:
    async with two(kind) as (here, _):
        address, handle = await here.address(), worker(7)
        here.expect(handle)
        here.expect(worker(8))
        here.forget(8)
        with pytest.raises(HandshakeError, match="unexpected worker 8"):
            await dial(kind, address, Role.WORKER, 8)
        child = await dial(kind, address, Role.WORKER, 7)
        await handle.wait_connected()
        parent = handle.channel
        assert parent.peer == 7
        with pytest.raises(HandshakeError, match="unexpected worker 7"):
            await dial(kind, address, Role.WORKER, 7)
        await parent.send("work")
        assert await child.recv() == "work"
        await asyncio.gather(child.aclose(), parent.aclose())


async def test_a_child_that_ends_in_its_handshake_is_not_counted_as_rejected(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with two() as (here, _):
        address = await here.address()
        here.expect(worker(7))
        here.expect(worker(8))
        here.forget(8)
        for number in (7, 8, 9):
            reader, writer = await dial_only(address)
            hello = Hello.of(Role.WORKER, "job", number, SETTINGS).encode()
            writer.write(MAGIC + encode_header(FrameType.HELLO, len(hello)) + hello)
            await reader.readexactly(len(MAGIC))  # so it has been heard
            writer.close()
            await writer.wait_closed()
        while len(here._acceptor._pending):  # noqa: ASYNC110  # until all are gone
            await asyncio.sleep(0)
        assert here._acceptor.rejected_connections == 1
    assert capsys.readouterr().err.count("refused a connection") == 1


async def test_peers_are_accepted_in_order_and_a_cancelled_accept_loses_none() -> None:
    async with two() as (here, _):
        address = await here.address()
        waiting = asyncio.ensure_future(here.accept())
        await asyncio.sleep(0)
        waiting.cancel()
        callers = [await dial("unix", address, Role.PEER, number) for number in range(5)]
        assert [(await here.accept()).peer for _ in callers] == list(range(5))
        await asyncio.gather(*(caller.aclose() for caller in callers))


async def test_connections_that_wait_for_accept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_endpoint, "_WAITING", 2)
    async with two() as (here, there):
        address = await here.address()
        callers = [await there.connect(address) for _ in range(2)]
        with pytest.raises(HandshakeError, match="2 peers have dialled that worker 3 has not accepted"):
            await there.connect(address)
        await here.accept()
        callers.append(await there.connect(address))
        assert len(callers) == 3


async def test_aclose_delivers_to_accepted_peers_and_aborts_the_others() -> None:
    async with two() as (here, there):
        address = await here.address()
        accepted, other = await there.connect(address), await there.connect(address)
        channel = await here.accept()
        await channel.send(b"x" * (1 << 20))
        await here.aclose()
        assert await accepted.recv() == b"x" * (1 << 20)
        with pytest.raises(EndOfChannel):
            await accepted.recv()
        with pytest.raises(ConnectionLost, match="worker 3"):
            await other.recv()
        with pytest.raises(ConnectionLost, match="worker 3 is gone"):
            await there.connect(address, timeout=0.1)
        with pytest.raises(ChannelClosed):
            await channel.recv()


@kinds
async def test_a_cancelled_aclose_aborts_all_peers(kind: str) -> None:
    async with two(kind) as (here, there):
        dialled, accepted = await asyncio.gather(there.connect(await here.address()), here.accept())
        while accepted.statistics().bytes_unsent < SETTINGS.send_queue:  # until the peer's queue is full, unread
            await accepted.send(b"x" * 100_000)
        closing = asyncio.ensure_future(here.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        with pytest.raises(ConnectionLost, match="worker 3"):
            [message async for message in dialled]


async def test_without_a_network_of_the_workers_a_peer_endpoint_has_no_address() -> None:
    for peers in ("", "203.0.113.0/24"):
        endpoint = PeerEndpoint(RUNNERS["subnet"]._replace(peers=peers), SETTINGS, 0)
        with pytest.raises(SettingError, match=r"run the runner inside the overlay .* SwarmEngine\(overlay=True\)"):
            await endpoint.address()
        await endpoint.aclose()


async def test_a_peer_endpoint_that_is_never_used_closes_too() -> None:
    endpoint = PeerEndpoint(RUNNERS["unix"], SETTINGS, 0)
    endpoint.abort()
    await endpoint.aclose()
