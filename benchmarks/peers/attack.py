"""
Connections that attack a listener: ``ADDRESS JOB COUNT``, so many at once, each replaced when it is closed.

They don't know the job's token. It prints ``here`` when it begins; the end of its input ends it, and then it prints, as
JSON, how many connections it has made, and how many of them got a WELCOME.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from random import Random

import uvloop

from aioparcs import Address, ParcsError
from aioparcs.auth import MAGIC, MAX_HANDSHAKE_FRAME, Hello, proof
from aioparcs.settings import Settings
from aioparcs.transport import dial, raise_file_limit
from aioparcs.wire import FrameType, encode_header

_HEADER = 8
_SLOW = 0.2  # seconds between two bytes

_Attack = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


class _Attacker:
    """What all connections share."""

    def __init__(self, address: str, job: str) -> None:
        self.made = 0
        self.let_in = 0
        self._address = Address.parse(address)
        self._job = job
        self._random = Random(1)
        self._attacks: tuple[_Attack, ...] = (
            self._keep_silent, self._send_slowly, self._send_garbage, self._request_page, self._send_half,
            self._announce_much, self._know_no_token, self._know_no_token, self._know_no_token, self._leave,
        )  # fmt: skip

    async def attack(self, number: int) -> None:
        """Connect again and again."""
        attack = self._attacks[number % len(self._attacks)]
        while True:
            try:
                reader, writer = await dial(self._address)
            except ParcsError:
                await asyncio.sleep(0.1)
                continue
            self.made += 1
            try:
                await attack(reader, writer)
            except (asyncio.IncompleteReadError, OSError):
                pass
            writer.transport.abort()
            await asyncio.sleep(0.02 * self._random.random())

    async def _keep_silent(self, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def _send_slowly(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in self._hello():
            writer.write(bytes([byte]))
            await asyncio.sleep(_SLOW)
            if reader.at_eof():
                return

    async def _send_garbage(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._random.randbytes(self._random.choice((7, 100, 60_000))))
        await reader.read()

    async def _request_page(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.read()

    async def _send_half(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._hello())
        await reader.read()

    async def _announce_much(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(MAGIC + encode_header(FrameType.HELLO, MAX_HANDSHAKE_FRAME + 1) + bytes(5000))
        await reader.read()

    async def _know_no_token(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = self._hello()
        writer.write(hello)
        answer = await reader.readexactly(len(MAGIC) + _HEADER)
        answer += await reader.readexactly(int.from_bytes(answer[-6:]))
        auth = proof(os.urandom(32), "worker", hello + answer)
        writer.write(encode_header(FrameType.AUTH, len(auth)) + auth)
        verdict = await reader.readexactly(_HEADER)
        self.let_in += verdict[0] != FrameType.REJECT

    async def _leave(self, _reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        pass

    def _hello(self) -> bytes:
        body = Hello.of("worker", self._job, 0, Settings()).encode()
        return MAGIC + encode_header(FrameType.HELLO, len(body)) + body


async def _main(address: str, job: str, count: int) -> None:
    attacker = _Attacker(address, job)
    attacks = [asyncio.ensure_future(attacker.attack(number)) for number in range(count)]
    print("here", flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, ended.set)
    await ended.wait()
    asyncio.get_running_loop().remove_reader(0)
    for one in attacks:
        one.cancel()
    await asyncio.gather(*attacks, return_exceptions=True)
    print(json.dumps({"made": attacker.made, "let_in": attacker.let_in}))


if __name__ == "__main__":
    raise_file_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _loop:
        _loop.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
