"""A service that says when it has an array, and, when it is asked, which one."""

import zlib

import numpy  # noqa: F401  # here: loaded once for all workers

from aioparcs import Service, serve


class Sink(Service):
    """Answer an array with its size, and the message behind it with the array's checksum."""

    async def run(self) -> None:
        while True:
            array = await self.recv()
            await self.send(array.nbytes)
            await self.recv()
            await self.send(zlib.crc32(array))
            del array


serve(Sink)
