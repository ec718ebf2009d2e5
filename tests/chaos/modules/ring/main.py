"""A place in a ring: what the one before sends goes to the one behind, in its order."""

import asyncio

from aioparcs import Service, serve


class Place(Service):
    async def run(self) -> None:
        await self.send(await self.listen())
        onward, count = await self.recv()
        after, before = await asyncio.gather(self.connect(onward), self.accept())
        for number in range(count):
            if self.rank == 0:
                await after.send([number, "x" * (number % 7 * 1000)])
            got, text = await before.recv()
            if got != number or len(text) != number % 7 * 1000:
                raise ValueError(f"{self.rank} received {got} in place of {number}")
            if self.rank > 0:
                await after.send([got, text])
            if number % 20 == 0:
                await self.send(number)
        await self.send("done")


serve(Place)
