"""Send each message back."""

from aioparcs import Service, serve


class Echo(Service):
    async def run(self) -> None:
        async for message in self:
            await self.send(message)


serve(Echo)
