"""A service that answers every message with the number of its process."""

import os

from aioparcs import Service, serve


class Echo(Service):
    """Answer with this process's number and the message."""

    async def run(self) -> None:
        async for message in self:
            await self.send([os.getpid(), message])


serve(Echo)
