"""Receive a number of seconds, sleep that long, say so."""

import asyncio

from aioparcs import Service, serve


class Sleeper(Service):
    async def run(self) -> None:
        async for seconds in self:
            await asyncio.sleep(seconds)
            await self.send(seconds)


serve(Sleeper)
