"""A service for one runner of the original PARCS: version 1 of the wire, on port 4444."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable

from aioparcs.address import ORIGINAL_PORT, Address
from aioparcs.channel import Channel, accept_v1
from aioparcs.errors import ConnectionLost, EndOfChannel, HandshakeError
from aioparcs.launcher.context import WorkerContext
from aioparcs.service.service import Service
from aioparcs.service.tracebacks import print_exit
from aioparcs.settings import Settings
from aioparcs.transport import listen

__all__ = ["serve_original"]

_log = logging.getLogger("Service")


async def serve_original(make: Callable[[], Service], settings: Settings) -> int:
    """
    Serve one runner: the first that sends a runner's greeting.

    The lines that it logs are the original's, for those who look for them.

    Args:
        make: gives the service.
        settings: limits and deadlines.

    Returns:
        The exit code: 0, 1 after an exception, 143 after SIGTERM.
    """
    logging.basicConfig(
        format="%(asctime)s - %(levelname)s %(message)s", datefmt="%d-%b-%y %H:%M:%S", level=logging.INFO
    )
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    _log.info("Welcome to PARCS-Python!")
    try:
        channel = await _first_runner(settings)
        _log.info("Running your program...")
        return await _converse(make(), channel)
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM
    except ConnectionLost as error:
        _log.error("%s", error)
        return 1
    finally:
        _log.info("Bye!")


async def _converse(service: Service, channel: Channel) -> int:
    """Run the service's program; returns the exit code, once what it sent is delivered."""
    code = 0
    service._attach(channel, WorkerContext(0, 0, 1, -1))
    try:
        await service.run()
    except EndOfChannel:
        pass  # the runner has closed the connection: that is a service's clean end too
    except ConnectionLost as error:
        _log.error("%s", error)
        code = 1
    except (Exception, SystemExit) as error:
        code = print_exit(error)
    await channel.aclose()
    return code


async def _first_runner(settings: Settings) -> Channel:
    """Wait for a connection with a runner's greeting; after it the listener is closed."""
    arrived: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await accept_v1(reader, writer, settings.handshake_timeout)
        except HandshakeError as error:
            _log.warning("Refused a connection: %s", error)
            writer.transport.abort()
            return
        if arrived.done():
            writer.transport.abort()
            return
        _log.info("Client from %s connected", writer.get_extra_info("peername")[0])
        arrived.set_result(Channel(reader, writer, settings=settings, version=1))

    listener = await listen(Address("tcp", "0.0.0.0", ORIGINAL_PORT), greet)
    try:
        return await arrived
    finally:
        await listener.aclose()
