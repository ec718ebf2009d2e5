"""Keep some blocks of the columns of a system of equations, and eliminate in step with the other workers."""

from blocks import factorise, reduce

from aioparcs import Service, serve


class Elimination(Service):
    async def run(self) -> None:
        size, width, blocks = await self.recv()
        for first in range(0, size, width):
            if first in blocks:  # these columns are mine: the others wait for what I do to the rows
                order, factors = factorise(blocks[first][first:], min(width, size - first))
                await self.send([order, factors])
            else:
                order, factors = await self.recv()
            for start, columns in blocks.items():
                if start > first:
                    reduce(columns[first:], order, factors)
            self.progress(min(first + width, size), size)
        await self.send(blocks)


serve(Elimination)
