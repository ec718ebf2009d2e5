"""Answers each array by one of its own, after a look at each page."""

import numpy as np

from aioparcs import Service, serve, shared_array


class Exchange(Service):
    async def run(self) -> None:
        own, is_shared = np.empty(0), False
        async for message in self:
            if message is None:
                return
            if isinstance(message, str):
                own, is_shared = np.empty(0), message == "shared"
                continue
            if not own.size:
                own = shared_array(message.shape) if is_shared else np.empty(message.shape)
                own[:] = message
            if message[::512].sum() != own[::512].sum():
                raise ValueError("an array differs")
            await self.send(own)


serve(Exchange)
