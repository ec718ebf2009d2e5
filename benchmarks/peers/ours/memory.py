"""One array of 256 MiB over an aioparcs channel, and what its receiver's peak memory was beyond it."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from aioparcs import Channel
from benchmarks.peers import control
from benchmarks.peers.messages import LARGEST, Array, large, large_answer, small
from benchmarks.peers.ours import link

MIB = 1 << 20
_WARM = 1000  # small messages before it, so that what any receiver needs is there


def _peak() -> int:
    """Return this process's peak memory, in bytes, since the last `_reset_peak`."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def _reset_peak() -> None:
    """Reset the peak to the present memory; where that is not allowed it stays, and so hides some."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except PermissionError:
        return


async def _sink(channel: Channel) -> None:
    """Receive small messages, then arrays, and answer each by the peak that it took beyond itself, in MiB."""
    for number in range(_WARM):
        control.expect(await channel.recv() == small(number), "a message differs")
    async for check in channel:
        _reset_peak()
        before = _peak()
        await channel.send("go")
        array = await channel.recv()
        extra = _peak() - before - array.nbytes
        await channel.send([large_answer(array, check), extra / MIB])


async def _run_round(message: Array, channel: Channel, count: int, check: bool) -> float:
    for number in range(_WARM):
        await channel.send(small(number))
    await channel.send(check)
    await channel.recv()
    await channel.send(message)
    answer, extra = await channel.recv()
    control.expect(answer == large_answer(message, check), "a large message differs")
    return float(extra)


def _serve(mode: str) -> None:
    link.serve(_sink)


def _drive(mode: str, port: int) -> None:
    link.drive(port, partial(_run_round, large(LARGEST)))


if __name__ == "__main__":
    control.main(_serve, _drive)
