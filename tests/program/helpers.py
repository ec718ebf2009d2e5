"""Functions and services that tests start by their names: this module is imported, and ends in nothing."""

import os
import sys

from aioparcs import Service


def square(x: int) -> int:
    return x * x


async def negate(x: int) -> int:
    return -x


def launcher() -> int:
    return os.getppid()


def is_loaded(module: str) -> bool:
    return module in sys.modules


class Echo(Service):
    async def run(self) -> None:
        async for message in self:
            await self.send(message)


class Parent(Service):
    async def run(self) -> None:
        async with self.pool(square, 1) as pool:
            async for message in self:
                await self.send(await pool.submit(message))
