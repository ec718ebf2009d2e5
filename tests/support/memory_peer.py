"""
One end of a channel as a process of its own: `python -m tests.support.memory_peer ROLE [ARGUMENT]`.

It prints a line when it is ready (`listen`: the address), and at its end its memory: idle and peak, in bytes.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np

from aioparcs import Address, Channel
from aioparcs.settings import MIB
from aioparcs.transport import dial, listen

COUNT, SIZE = 2_000, 1 * MIB
LARGE = 256 * MIB
FIRST = 10  # messages that the receiver takes before it stops reading


def memory(field: str, pid: int | str = "self") -> int:
    """Read a field of a process's status, in bytes; VmRSS is what it has, VmHWM the most that it had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) * 1024


async def wait_for_line() -> None:
    """Wait for a line on standard input, reading nothing else meanwhile."""
    assert await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def send_many(channel: Channel) -> None:
    constant = bytes(SIZE)
    buffer = bytearray(SIZE)
    await wait_for_line()
    for i in range(COUNT):
        if i % 2:
            await channel.send(constant)
        else:
            buffer[:8] = buffer[-8:] = i.to_bytes(8)  # it may change as soon as send has returned
            await channel.send(buffer)


async def recv_many(channel: Channel) -> None:
    for i in range(COUNT):
        if i == FIRST:
            await wait_for_line()
        message = await channel.recv()
        stamp = bytes(8) if i % 2 else i.to_bytes(8)
        assert len(message) == SIZE
        assert message[:8] == message[-8:] == stamp, i


async def send_array(channel: Channel) -> None:
    array = np.ones(LARGE, "u1")
    await wait_for_line()
    await channel.send(array)


async def recv_array(channel: Channel) -> None:
    array = await channel.recv()
    assert array.nbytes == LARGE
    assert array.all()


async def recv_into(channel: Channel) -> None:
    array = np.zeros(LARGE, "u1")
    assert await channel.recv_into(array) == LARGE
    assert array.all()


ROLES: dict[str, Callable[[Channel], Awaitable[None]]] = {
    role.__name__: role for role in (send_many, recv_many, send_array, recv_array, recv_into)
}


async def play(role: str, channel: Channel) -> None:
    idle = memory("VmRSS")
    async with channel:
        await ROLES[role](channel)
    print(json.dumps({"idle": idle, "peak": memory("VmHWM")}), flush=True)


async def main(role: str, address: str = "") -> None:
    if address:
        await play(role, Channel(*await dial(Address.parse(address))))
        return
    accepted = asyncio.get_running_loop().create_future()

    async def accept(*ends: asyncio.StreamReader | asyncio.StreamWriter) -> None:
        accepted.set_result(ends)

    listener = await listen(Address("tcp", "127.0.0.1"), accept)
    print(listener.address, flush=True)
    await play(role, Channel(*await accepted))
    await listener.aclose()


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(main(*sys.argv[1:]))
    else:
        uvloop.run(main(*sys.argv[1:]))
