"""Have some leaves of its own look for the largest numbers, and report the largest of all of theirs."""

from heapq import nlargest
from itertools import chain

from aioparcs import Service, gather, scatter, serve


class Branch(Service):
    async def run(self) -> None:
        leaves, numbers, top = await self.recv()
        async with self.start_many("leaf", leaves) as tasks:
            await scatter(tasks, [[self.rank * leaves + task.rank, numbers, top] for task in tasks])
            found = await gather(tasks)
        await self.send(nlargest(top, chain.from_iterable(found)))


serve(Branch)
