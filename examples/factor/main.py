"""Find the divisors of n among the numbers from a up to b, by trying each."""

from aioparcs import Service, serve

STEP = 500_000  # numbers tried between two reports of progress


class Factor(Service):
    async def run(self) -> None:
        n, a, b = [await self.recv() for _ in range(3)]
        divisors: list[int] = []
        for start in range(a, b, STEP):
            end = min(start + STEP, b)
            divisors += [i for i in range(start, end) if n % i == 0]
            self.progress(end - a, b - a)
        await self.send(divisors)


serve(Factor)
