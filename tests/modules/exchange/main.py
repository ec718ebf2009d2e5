"""A worker that passes arrays on to another one."""

import numpy as np

from aioparcs import Service, serve, shared_array


class Exchange(Service):
    async def run(self) -> None:
        verb, *arguments = await self.recv()
        if verb == "give":
            (address,) = arguments
            channel = await self.connect(address)
            array = shared_array(1 << 18)
            array[:] = np.arange(1 << 18)
            await channel.send(array)
            await self.send(await channel.recv())
        else:
            await self.send(await self.listen())
            channel = await self.accept()
            received = await channel.recv()
            await channel.send([float(received.sum()), type(received.base).__name__])
            await channel.aclose()


serve(Exchange)
