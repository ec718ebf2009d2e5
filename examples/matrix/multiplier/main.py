"""Multiply pairs of matrices, one after another."""

import numpy  # noqa: F401  # loaded once, before the workers are forked, and not by each when its first arrays arrive

from aioparcs import Service, serve


class Multiplier(Service):
    async def run(self) -> None:
        async for rows, columns in self:
            await self.send(rows @ columns)


serve(Multiplier)
