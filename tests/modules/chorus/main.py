"""Takes part in collective operations, as each message says: ``[verb, argument...]``."""

import asyncio
import hashlib
import os
import resource
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from aioparcs import ParcsError, Service, serve

with suppress(ImportError):  # an image of it has none
    import numpy  # noqa: F401  # here: loaded once for all workers


def place(array: Any) -> int:
    begin = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, _, _, _, number, *name = line.split()
        first, last = (int(address, 16) for address in addresses.split("-"))
        if first <= begin < last and name and "memfd:aioparcs" in name[0]:
            return int(number)
    return 0


def bytes_received() -> int:
    networks = [line.split() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
    return sum(int(words[1]) for words in networks if words[0] != "lo:")


class Chorus(Service):
    async def run(self) -> None:
        async for verb, *arguments in self:
            await getattr(self, verb)(*arguments)

    async def echo(self, value: Any) -> None:
        await self.send(value)

    async def wait_at_barriers(self, times: int, path: str = "") -> None:
        """Come to barriers; the file, if any, is told when this worker has come to each, and when it goes on."""
        for number in range(times):
            self.note(path, f"{number} came")
            try:
                await self.barrier()
            except ParcsError as error:
                await self.send([type(error).__name__, str(error)])
                return
            self.note(path, f"{number} went")
        await self.send("met")

    def note(self, path: str, line: str) -> None:
        if path:
            with Path(path).open("a") as file:  # short lines that are appended are whole
                file.write(f"{line}\n")

    async def wait_for(self, path: str) -> None:
        while not Path(path).exists():  # noqa: ASYNC110, ASYNC240  # a file has no event
            await asyncio.sleep(0.005)

    async def send_many(self, count: int, size: int) -> None:
        for _ in range(count):
            await self.send(bytes(size))

    async def recv_many(self, count: int) -> None:
        """Receive so many messages, and tell what each of them is."""
        for _ in range(count):
            await self.send(digest(await self.recv()))

    async def recv_one(self) -> None:
        await self.recv()

    async def place(self) -> None:
        """Send in which shared memory the next message's array lies, 0 for none, and its sum."""
        array = (await self.recv())["array"]
        await self.send([place(array), float(array.sum())])

    async def nothing(self) -> None:
        """Do nothing."""

    async def try_recv_many(self, count: int) -> None:
        """Receive so many messages; one that can't be received is told by its error."""
        for _ in range(count):
            try:
                await self.send(digest(await self.recv()))
            except ParcsError as error:
                await self.send([type(error).__name__, str(error)])

    async def recv_into_buffer(self, size: int) -> None:
        buffer = bytearray(size)
        count = await self.recv_into(buffer)
        await self.send(digest(bytes(buffer[:count])))

    async def cancel_recv(self) -> None:
        """Begin to receive, think better of it, and try twice at once; then receive after all."""
        receiving = asyncio.ensure_future(self.recv())
        await asyncio.sleep(0)
        await self.send(receiving.done())
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        receiving = asyncio.ensure_future(self.recv())
        await asyncio.sleep(0)
        try:
            await self.recv()
        except ParcsError as error:
            await self.send(type(error).__name__)
        await self.send(digest(await receiving))

    async def pid(self) -> None:
        await self.send(os.getpid())

    async def peak(self) -> None:
        """Send this process's peak memory, in bytes."""
        await self.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10)

    async def arrived(self) -> None:
        """Send where this worker is, and how many bytes have come there over the network."""
        await self.send([socket.gethostname(), bytes_received()])

    async def leave(self) -> None:
        raise SystemExit(0)

    async def fail(self) -> None:
        raise ValueError("out of tune")

    async def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def digest(value: Any) -> list[Any]:
    """Describe a value: its kind, its size, and a hash of its bytes."""
    if hasattr(value, "__array_interface__"):
        return [str(value.dtype), list(value.shape), hashlib.sha256(value.tobytes()).hexdigest(), value.flags.writeable]
    if isinstance(value, bytes):
        return ["bytes", len(value), hashlib.sha256(value).hexdigest()]
    return [value]


serve(Chorus)
