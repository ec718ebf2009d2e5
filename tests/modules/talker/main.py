"""Does what each message says: ``[verb, argument...]``."""

import asyncio
import os
import signal
import sys
import time
from typing import Any

from aioparcs import Service, serve


class CustomKeyError(KeyError):
    pass


class Talker(Service):
    async def run(self) -> None:
        async for verb, *arguments in self:
            await getattr(self, verb)(*arguments)
        await asyncio.sleep(float(os.environ.get("LINGER", "0")))

    async def echo(self, *values: Any) -> None:
        await self.send_all(*values)

    async def who(self) -> None:
        await self.send([self.rank, self.size, self.worker, os.getpid(), os.getppid()])

    async def fill(self, size: int) -> None:
        buffer = bytearray(size)
        count = await self.recv_into(buffer)
        await self.send([count, bytes(buffer[:count])])

    async def report_progress(self, done: float, total: float) -> None:
        self.progress(done, total)
        await self.send("reported")

    async def fail(self, kind: str, *arguments: Any) -> None:
        errors = {
            "ValueError": ValueError,
            "CustomKeyError": CustomKeyError,
            "StopIteration": StopIteration,
            "OSError": OSError,
        }
        raise errors[kind](*arguments)

    async def fail_with_cause(self) -> None:
        try:
            {}["missing"]  # type: ignore[index]  # on purpose
        except KeyError as error:
            raise RuntimeError("because of the other") from error

    async def leave(self, code: Any) -> None:
        await self.send("leaving")
        sys.exit(code)

    async def vanish(self, code: int) -> None:
        os._exit(code)

    async def die(self, number: int) -> None:
        os.kill(os.getpid(), number)
        await asyncio.sleep(60)

    async def die_in_mid_message(self) -> None:
        sending = asyncio.ensure_future(self.send(bytearray(64 << 20)))
        await asyncio.sleep(0)  # it has written what the kernel takes, and waits for more room
        assert not sending.done()
        os.kill(os.getpid(), signal.SIGKILL)

    async def compute(self, seconds: float) -> None:
        await self.send("computing")
        time.sleep(seconds)  # noqa: ASYNC251  # on purpose: the loop stands still

    async def print_lines(self, *lines: str) -> None:
        print(*lines, sep="\n")
        await self.send("printed")

    async def environment(self, name: str) -> None:
        await self.send(os.environ.get(name))

    async def unserialisable(self) -> None:
        await self.send({"rows": [1, object()]})

    async def stubborn(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        await self.send("stubborn")
        time.sleep(60)  # noqa: ASYNC251  # on purpose: neither its loop nor a signal ends it


serve(Talker)
