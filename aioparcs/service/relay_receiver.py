"""The worker's part in broadcasts: it gets messages from its neighbours, and relays them while they arrive."""

from __future__ import annotations

import asyncio
from types import NoneType
from typing import Any

from aioparcs.address import Address
from aioparcs.auth import Role
from aioparcs.channel import RELAYS, Channel, RelayBuffer, RelayMessage, encode_error, fetch
from aioparcs.errors import ParcsError, ProtocolError
from aioparcs.service.peer_endpoint import PeerEndpoint

__all__ = ["RelayReceiver"]

# Seconds to reach a neighbour; it listens already, so who can't be reached by then is gone.
_NEIGHBOUR = 3.0
# All that the origin may say of a message that it has announced, and with what.
_VALUES: dict[Any, tuple[type, ...]] = {"from": (Address, NoneType), "release": (NoneType,)}


class RelayReceiver:
    """
    The receiver of relayed messages: it gets each as soon as its place in line is there, whatever the program does.

    Args:
        channel: the channel whose messages they are.
        endpoint: the way to the neighbours, and theirs to this worker.
        origin: where the channel leads to: the origin of a message, for workers that can't get it elsewhere.
    """

    def __init__(self, channel: Channel, endpoint: PeerEndpoint, origin: Address) -> None:
        self._relays = channel.relays
        self._endpoint = endpoint
        self._origin = origin
        # They end with the program, as all it has left running. Not in a task group: a message begins in a callback
        # of the connection, and a group that is there before the first one would cost every worker a task.
        self._running: set[asyncio.Task[None]] = set()
        self._relays.set_receiver(self._begin)

    def _begin(self, relayed: RelayMessage) -> None:
        task = asyncio.ensure_future(self._relay(relayed))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _relay(self, relayed: RelayMessage) -> None:
        name, relays, stream = relayed.name, self._relays, RelayBuffer(())
        with relays.subscription(name):
            try:
                buffers = await relayed.allocate()
                stream = RelayBuffer(buffers)
                if relayed.feeds:
                    RELAYS[name] = stream
                    relays.notify(name, "at", await self._address())
                values: dict[str, Any] = {}
                await self._wait_notice(name, "from", values)
                await self._get(name, stream, values["from"])
                relays.notify(name, "has")
                if relayed.feeds:  # until then it is not the program's, which may change it
                    await self._wait_notice(name, "release", values)
                relayed.settle(buffers)
            except Exception as error:
                relays.notify(name, "failed", encode_error(error))
                relayed.fail(str(error) or type(error).__name__)
            finally:
                RELAYS.pop(name, None)
                stream.close()

    async def _wait_notice(self, name: bytes, wanted: str, values: dict[str, Any]) -> None:
        """Wait for a notice with the wanted verb; add the value of each notice to ``values``."""
        while wanted not in values:
            verb, value = await self._relays.recv_notice(name)
            if type(value) not in _VALUES.get(verb, ()):
                raise ProtocolError("an unexpected RELAY frame")
            values[verb] = value

    async def _address(self) -> Address | None:
        try:
            return await self._endpoint.address()
        except ParcsError:
            return None  # those whom it should feed turn to the origin

    async def _get(self, name: bytes, stream: RelayBuffer, neighbour: Address | None) -> None:
        """Receive a message from a neighbour; what can't be got there, from its origin."""
        if neighbour is not None:
            try:
                await fetch(name, stream, await self._endpoint.connect(neighbour, _NEIGHBOUR, role=Role.RELAY))
                return
            except ParcsError:
                pass
        await fetch(name, stream, await self._endpoint.connect(self._origin, role=Role.RELAY))
