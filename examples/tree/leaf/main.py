"""Look at many numbers, and report the largest."""

from heapq import nlargest
from random import Random

from aioparcs import Service, serve


class Leaf(Service):
    async def run(self) -> None:
        seed, numbers, top = await self.recv()
        random = Random(seed).random
        await self.send(nlargest(top, (random() for _ in range(numbers))))


serve(Leaf)
