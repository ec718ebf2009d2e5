"""A service that answers every message with its host, the number of its process, and the message."""

import os

from aioparcs import Service, serve


class Echo(Service):
    """Answer with where this process is and the message."""

    async def run(self) -> None:
        here = [os.uname().nodename, os.getpid()]
        async for message in self:
            await self.send([*here, message])


serve(Echo)
