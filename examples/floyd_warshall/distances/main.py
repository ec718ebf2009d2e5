"""Keep some rows of a table of distances, and shorten them by the ways through every node."""

from ways import shorten

from aioparcs import Service, serve


class Distances(Service):
    async def run(self) -> None:
        start, block, rows = await self.recv()
        end, size = start + len(rows), rows.shape[1]
        for first in range(0, size, block):
            if start <= first < end:  # these nodes are mine: the others wait for their rows
                pivots = rows[first - start : first - start + block]
                shorten(pivots, pivots, first)
                await self.send(pivots)
            else:
                pivots = await self.recv()
            shorten(rows, pivots, first)
            self.progress(first + len(pivots), size)
        await self.send(rows)


serve(Distances)
