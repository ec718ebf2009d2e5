"""Keep some rows of a table of distances, and shorten them by the ways through every node."""

import numpy as np

from aioparcs import Service, serve


def shorten(rows: np.ndarray, pivots: np.ndarray, first: int) -> None:
    """Let each of the rows go through the nodes from `first` on, whose own rows are `pivots`."""
    for node, pivot in enumerate(pivots, first):
        np.minimum(rows, rows[:, node, None] + pivot, out=rows)


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
