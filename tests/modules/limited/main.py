"""Functions that take too long in every way, fail some times, or keep memory."""

import asyncio
import functools
import itertools
import os
import time
from pathlib import Path
from typing import Any

from aioparcs import serve

KEPT: list[bytes] = []


class Refused(Exception):
    """An exception that only this module has."""


def ident(x: Any, timeout: Any = None) -> Any:
    return x if timeout is None else [x, timeout]


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def spin(seconds: float) -> float:
    """Compute without a pause, in Python."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return seconds


def hold(seconds: float) -> float:
    """Compute in C without ever giving the interpreter away, if it is more than a moment."""
    if seconds > 1:
        sum(itertools.repeat(0, 1 << 50))
    return seconds


async def wait(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


async def go_on(seconds: float) -> float:
    """Wait all the same when it is cancelled."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            await nap(end - time.monotonic())
        except asyncio.CancelledError:
            pass
    return seconds


def after_sleep(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(seconds: float, then: float = 0.0) -> Any:
        time.sleep(seconds)
        return function(then)

    return wrapper


@after_sleep
async def wrapped(seconds: float) -> float:
    return await wait(seconds)


def later(seconds: float) -> Any:
    """Return what is to be awaited, as a plain function."""
    return wait(seconds)


async def nap(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def block(seconds: float) -> float:
    """Keep the event loop from everything else."""
    time.sleep(seconds)  # noqa: ASYNC251  # on purpose
    return seconds


def mark(folder: str, x: float) -> float:
    """Sleep so many seconds, and leave a mark that says that it has begun."""
    with open(Path(folder) / str(x), "a") as file:
        file.write("x")
    time.sleep(x)
    return x


def fail_first(folder: str, times: int, kind: str) -> int:
    """Fail so many times, in whichever workers, and then return how often it was called."""
    count = len(list(Path(folder).iterdir()))
    (Path(folder) / str(count)).touch()
    if count < times:
        kinds = {"OSError": OSError, "ConnectionError": ConnectionError, "Refused": Refused}
        if kind == "exit":
            os._exit(3)
        if kind == "timeout":
            time.sleep(60)
        raise kinds[kind](f"at call {count}")
    return count + 1


def pid(_: Any = None) -> int:
    return os.getpid()


def opaque() -> list[object]:
    return [object()]


async def opaque_later() -> list[object]:
    return [object()]


def grow(size: int) -> int:
    KEPT.append(os.urandom(1) * size)
    return os.getpid()


serve(ident, sleep, spin, hold, wait, go_on, block, wrapped, later, mark, fail_first, pid, opaque, opaque_later, grow)
