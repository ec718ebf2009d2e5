"""Channels between two ends that map each other's memory, and what is known of such memory."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from aioparcs import Settings, shared_array
from aioparcs.shared import own_probe
from tests.support.channels import Pair, pair

__all__ = ["filled", "is_mapped", "memory_of", "sharing_pair"]


@asynccontextmanager
async def sharing_pair(settings: Settings | None = None) -> AsyncIterator[Pair]:
    """Open two connected channels whose ends map each other's memory."""
    async with pair("unix", settings) as channels:
        for channel in channels:
            channel.connection.reader.share_memory(own_probe())
        assert all(await asyncio.gather(*(channel.connection.outbox.loans.are_possible() for channel in channels)))
        yield channels


def filled(size: int, seed: int = 0) -> Any:
    """Return an array of numbers in shared memory."""
    array = shared_array(size)
    array[:] = np.random.default_rng(seed).random(size)
    return array


def is_mapped(array: Any) -> bool:
    """Return True if an array lies in memory that came by reference."""
    begin = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, _, rest = line.partition(" ")
        first, last = (int(address, 16) for address in place.split("-"))
        if first <= begin < last:
            return "memfd:aioparcs" in rest
    return False


def memory_of(pid: int | str = "self") -> list[str]:
    """Return the descriptors of shared memory that a process has, without its probe."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            path = f"/proc/{pid}/fd/{name}"
            if "memfd:aioparcs" in os.readlink(path) and os.stat(path).st_size > 4096:
                found.append(path)
        except FileNotFoundError:
            continue
    return found
