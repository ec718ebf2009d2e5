"""Peers that know the first extensions only, such as an older aioparcs."""

import asyncio
import socket

from aioparcs import Address, Channel, Service
from aioparcs.auth import Hello, Role
from aioparcs.channel import introduce
from aioparcs.launcher.connect import adopt
from aioparcs.launcher.context import RunnerEndpoint, WorkerContext
from aioparcs.service.conversation import converse
from aioparcs.service.peer_endpoint import PeerEndpoint
from aioparcs.settings import FIRST_EXTENSIONS, Settings
from aioparcs.transport import dial, streams_of

RUNNER = RunnerEndpoint(Address("unix", "@runner"), "job", 0, bytes(32), None)
VALUE = (1, [(2, 3)])
AS_LISTS = [1, [[2, 3]]]


def hello(role: str, worker: int) -> Hello:
    return Hello.of(role, "job", worker, Settings())._replace(extensions=FIRST_EXTENSIONS)


async def test_an_older_runner_gets_tuples_as_lists() -> None:
    async def program(channel: Channel, place: WorkerContext, endpoint: PeerEndpoint) -> None:
        service = Service()
        service._attach(channel, place, endpoint)
        await service.send(VALUE)
        await service.recv()

    ours, theirs = socket.socketpair()
    endpoint, context = PeerEndpoint(RUNNER, Settings(), 3), WorkerContext(3, 0, 1, -1)
    connection = adopt(theirs, hello(Role.RUNNER, -1))
    running = asyncio.ensure_future(converse(connection, endpoint, Settings(), context, program))
    runner = Channel(*await streams_of(ours))
    assert await runner.recv() == AS_LISTS
    await runner.send(None)
    await runner.aclose()
    assert await running == 0


async def test_an_older_peer_gets_tuples_as_lists() -> None:
    endpoint = PeerEndpoint(RUNNER, Settings(), 3)
    reader, writer = await dial(await endpoint.address())
    await introduce(reader, writer, hello(Role.PEER, 4), RUNNER.token, 10)
    peer, accepted = Channel(reader, writer), await endpoint.accept()
    await accepted.send(VALUE)
    assert await peer.recv() == AS_LISTS
    await asyncio.gather(peer.aclose(), accepted.aclose())
    await endpoint.aclose()
