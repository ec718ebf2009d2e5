"""Speaks with other workers, as each message from the runner says: ``[verb, argument...]``."""

import asyncio
import os
import signal
from typing import Any

from aioparcs import Address, Channel, ParcsError, Service, serve


class Peers(Service):
    def __init__(self) -> None:
        self.channels: list[Channel] = []
        self.sent = 0
        self.working: asyncio.Task[None] | None = None

    async def run(self) -> None:
        async for verb, *arguments in self:
            await getattr(self, verb)(*arguments)

    async def where(self) -> None:
        await self.send(await self.listen())

    async def ring(self, onward: Address, laps: int) -> None:
        """Pass a number round the ring, each worker adding one; the first sends the sum."""
        after, before = await asyncio.gather(self.connect(onward), self.accept())
        count = 0
        for _ in range(laps):
            if self.rank > 0:
                count = await before.recv()
            await after.send(count + 1)
            if self.rank == 0:
                count = await before.recv()
        await self.send([count, before.peer, after.peer])

    async def produce(self, onward: Address, count: int, size: int) -> None:
        channel = await self.open(onward)

        async def work() -> None:
            for number in range(count):
                await channel.send([number, bytes(size)])
                self.sent += 1

        self.working = asyncio.create_task(work())

    async def relay(self, onward: Address) -> None:
        before, after = await asyncio.gather(self.accept(), self.open(onward))
        self.channels.append(before)

        async def work() -> None:
            async for message in before:
                await after.send(message)
                self.sent += 1

        self.working = asyncio.create_task(work())

    async def consume(self) -> None:
        """Receive all messages, and send whether they were in order."""
        in_order, count = True, 0
        async for number, _ in self.channels[0]:
            in_order = in_order and number == count
            count += 1
        await self.send([count, in_order])

    async def wait(self) -> None:
        """Wait for what was begun, and end the channels."""
        assert self.working
        await self.working
        await asyncio.gather(*(channel.aclose() for channel in self.channels))
        await self.send(self.sent)

    async def count(self) -> None:
        held = [channel.statistics() for channel in self.channels]
        await self.send([self.sent, *([one.bytes_unsent, one.bytes_unread] for one in held)])

    async def open(self, address: Address) -> Channel:
        self.channels.append(await self.connect(address))
        return self.channels[-1]

    async def dial(self, address: Address, timeout: float | None = None) -> None:
        try:
            self.channels.append(await self.connect(address, timeout))
            await self.send(self.channels[-1].peer)
        except ParcsError as error:
            await self.send([type(error).__name__, str(error)])

    async def accept_peer(self) -> None:
        self.channels.append(await self.accept())
        await self.send(self.channels[-1].peer)

    async def send_to_peer(self, message: Any) -> None:
        await self.channels[-1].send(message)

    async def recv_from_peer(self) -> None:
        try:
            await self.send(await self.channels[-1].recv())
        except ParcsError as error:
            await self.send([type(error).__name__, str(error)])

    async def descriptors(self) -> None:
        await self.send(len(os.listdir("/proc/self/fd")))

    async def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    async def fail(self) -> None:
        raise ValueError("failed")

    async def leave(self, message: Any) -> None:
        """Send a message, and end at once."""
        await self.send_to_peer(message)
        raise SystemExit(0)


serve(Peers)
