"""The conversation of a worker: its program with its channel, from the connection to the last byte."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aioparcs import codec
from aioparcs.address import Address
from aioparcs.channel import Channel, encode_error
from aioparcs.errors import ConnectionLost, EndOfChannel, ParcsError
from aioparcs.launcher.connect import Connection
from aioparcs.launcher.context import WorkerContext
from aioparcs.service.peer_endpoint import PeerEndpoint
from aioparcs.service.relay_receiver import RelayReceiver
from aioparcs.service.tracebacks import print_exit
from aioparcs.settings import Settings
from aioparcs.telemetry import set_context
from aioparcs.transport import keep_alive
from aioparcs.wire import FrameType

__all__ = ["Program", "converse"]

# What a worker does with its channel, and its way to others, until it is done.
Program = Callable[[Channel, WorkerContext, PeerEndpoint], Awaitable[None]]


async def converse(
    connection: Awaitable[Connection],
    endpoint: PeerEndpoint,
    settings: Settings,
    context: WorkerContext,
    program: Program,
) -> int:
    """
    Run a worker's program over its connection.

    Args:
        connection: the connection to the program that has started it.
        endpoint: its way to other workers.
        settings: limits and deadlines.
        context: its place in the job.
        program: what it does until it is done.

    Returns:
        The exit code.
    """
    reader, writer, runner = await connection
    keep_alive(writer.transport, settings.liveness, user_timeout=False)
    limits = runner.max_body, runner.max_buffers
    channel = Channel(reader, writer, settings=settings, peer_limits=limits, peer_memory=runner.memory)
    channel.connection.extensions = runner.extensions
    RelayReceiver(channel, endpoint, Address.parse(context.parent) if context.parent else endpoint.runner.address)
    set_context(runner.welcome)
    try:
        await program(channel, context, endpoint)
    except EndOfChannel:
        pass  # the runner has ended the channel: that is a service's clean end too
    except asyncio.CancelledError:
        endpoint.abort()
        channel.abort()
        raise
    except (Exception, SystemExit) as error:
        return await _fail(error, channel, endpoint)
    return await _finish(channel, endpoint)


async def _finish(channel: Channel, endpoint: PeerEndpoint) -> int:
    """Send what is still unsent, however long its readers take: without a runner the launcher kills this worker."""
    if endpoint.is_open:
        await asyncio.gather(channel.aclose(None), endpoint.aclose())
    else:
        await channel.aclose(None)
    return 0


async def _fail(error: Exception | SystemExit, channel: Channel, endpoint: PeerEndpoint) -> int:
    if isinstance(error, ConnectionLost) and channel.statistics().state != "open":
        endpoint.abort()
        return 1  # its runner is gone, or has killed it: no one is left to send the error to
    code = print_exit(error)
    if not code:
        return await _finish(channel, endpoint)
    endpoint.abort()
    await _send_error(channel, error)
    return code


async def _send_error(channel: Channel, error: BaseException) -> None:
    """Send the runner the error, if it is still there."""
    try:
        await channel.connection.send_frame(FrameType.ERROR, codec.encode_inline(encode_error(error))[0])
    except ParcsError:
        return
    await channel.aclose(None)
