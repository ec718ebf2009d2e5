"""Generator functions of all kinds, and what they do at their end."""

import asyncio
import functools
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from aioparcs import serve


def _write(path: str, text: str) -> None:
    """Write a file that is never seen empty."""
    new = Path(f"{path}.new")
    new.write_text(text)
    new.replace(path)


def count(n: int) -> Iterator[int]:
    yield from range(n)


async def acount(n: int) -> AsyncIterator[int]:
    for i in range(n):
        if i % 7 == 0:
            await asyncio.sleep(0)
        yield i


def pid(_: Any = None) -> int:
    return os.getpid()


def pids() -> Iterator[int]:
    while True:
        yield os.getpid()


def forever(path: str) -> Iterator[int]:
    """Count, write how far to a file, and say there how it ended."""
    i = 0
    try:
        while True:
            _write(path, str(i))
            yield i
            i += 1
    except BaseException as error:
        _write(path, f"{type(error).__name__} at {i}")
        raise


async def aforever(path: str) -> AsyncIterator[int]:
    i = 0
    try:
        while True:
            _write(path, str(i))
            yield i
            await asyncio.sleep(0)
            i += 1
    except BaseException as error:
        _write(path, f"{type(error).__name__} at {i}")
        raise


def fail(n: int) -> Iterator[int]:
    yield from range(n)
    raise KeyError("at the end")


async def afail(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i
    raise KeyError("at the end")


def blobs(n: int, size: int, path: str) -> Iterator[Any]:
    import numpy as np  # an image of this module needs none

    for i in range(n):
        _write(path, str(i))
        yield np.full(size, i % 256, np.uint8)


def slow(n: int, pause: float, at: int) -> Iterator[int]:
    """Count, and pause before one of the items."""
    for i in range(n):
        if i == at:
            time.sleep(pause)
        yield i


async def aslow(n: int, pause: float, at: int) -> AsyncIterator[int]:
    for i in range(n):
        if i == at:
            await asyncio.sleep(pause)
        yield i


async def abusy() -> AsyncIterator[None]:
    """Keep the interpreter from the other thread, for 2 ms in each turn of the event loop."""
    while True:
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(0)
        yield None


def die(n: int) -> Iterator[int]:
    yield from range(n)
    os._exit(7)


def die_first(folder: str, times: int, n: int) -> Iterator[int]:
    """End the process before the first item, so many times."""
    tries = len(list(Path(folder).iterdir()))
    (Path(folder) / str(tries)).touch()
    if tries < times:
        os._exit(7)
    yield from range(n)


def opaque() -> Iterator[Any]:
    yield 1
    yield object()


def listed(n: int) -> list[int]:
    return list(range(n))


async def later(n: int) -> AsyncIterator[int]:
    await asyncio.sleep(0)
    return acount(n)


def nothing() -> None:
    pass


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


@decorated
def wrapped(n: int) -> Iterator[str]:
    for _ in range(n):
        yield threading.current_thread().name


def stubborn() -> Iterator[int]:
    try:
        while True:
            yield 1
    finally:
        raise ValueError("in the finally block")


serve(
    count,
    acount,
    pid,
    pids,
    forever,
    aforever,
    fail,
    afail,
    blobs,
    slow,
    aslow,
    abusy,
    die,
    die_first,
    opaque,
    listed,
    later,
    nothing,
    wrapped,
    stubborn,
)
