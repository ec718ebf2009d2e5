"""
Fakes for testing programs that use channels: a connection in memory that can be held back, silenced or cut.

Only the network is replaced; everything above it is the real thing. Test a service's conversation without a
process, a socket or a port::

    >>> import asyncio
    >>> from aioparcs.testing import memory_channel_pair
    >>> async def divisors(channel):                    # what the service does
    ...     n = await channel.recv()
    ...     await channel.send([i for i in range(1, n + 1) if n % i == 0])
    >>> async def test():
    ...     here, there, network = memory_channel_pair()
    ...     async with asyncio.TaskGroup() as group, here, there:
    ...         group.create_task(divisors(there))
    ...         await here.send(12)
    ...         return await here.recv()
    >>> asyncio.run(test())
    [1, 2, 3, 4, 6, 12]

and what it does when its connection breaks in the middle of the answer::

    >>> async def test_a_broken_connection():
    ...     here, there, network = memory_channel_pair()
    ...     network.back.cut(after=5)
    ...     await there.send("an answer")
    ...     try:
    ...         await here.recv()
    ...     except ConnectionLost as error:
    ...         return str(error)
    ...     finally:
    ...         await asyncio.gather(here.aclose(), there.aclose())
    >>> from aioparcs import ConnectionLost
    >>> asyncio.run(test_a_broken_connection())
    'the connection broke: the connection was cut'
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from aioparcs.channel import Channel
from aioparcs.settings import Settings
from aioparcs.testing.transport import CAPACITY, Line, MemoryTransport

__all__ = ["Line", "Network", "memory_channel_pair", "memory_pair"]

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Network(NamedTuple):
    """
    The two directions of a connection in memory.

    Attributes:
        forward: from the first pair to the second.
        back: from the second pair to the first.
    """

    forward: Line
    back: Line


def memory_pair(*, capacity: int = CAPACITY) -> tuple[Streams, Streams, Network]:
    """
    Return both ends of a connection in memory, as asyncio's streams.

    They behave like those of a socket, back-pressure, half-close and resets included. Call it in a coroutine.

    Args:
        capacity: bytes that each direction holds before its sender waits.

    Returns:
        ``(reader, writer)`` of the one end, those of the other, and the network between them.
    """
    loop = asyncio.get_running_loop()
    network = Network(Line(loop, capacity), Line(loop, capacity))
    here, there = _end(loop, network.forward, network.back), _end(loop, network.back, network.forward)
    return here, there, network


def memory_channel_pair(
    *, settings: Settings | None = None, version: int = 2, capacity: int = CAPACITY
) -> tuple[Channel, Channel, Network]:
    """
    Return two connected channels in memory. Call it in a coroutine.

    Args:
        settings: limits and deadlines of both channels; the defaults if None.
        version: 2, or 1 for the original wire.
        capacity: bytes that each direction holds before its sender waits.

    Returns:
        The two channels, and the network between them.
    """
    here, there, network = memory_pair(capacity=capacity)
    first, second = (Channel(*streams, settings=settings, version=version) for streams in (here, there))
    return first, second, network


def _end(loop: asyncio.AbstractEventLoop, out: Line, into: Line) -> Streams:
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport = MemoryTransport(loop, protocol, out, into)
    out._sender = into._receiver = transport
    protocol.connection_made(transport)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
