"""Functions for pools: quick ones, slow ones, and deadly ones."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from aioparcs import serve
from aioparcs.cpus import usable_cpus

FACTOR = 1
RUNNING = 0


def now(_: Any = None) -> float:
    return time.time()


def threads(_: Any = None) -> tuple[str | None, int]:
    """Return how many threads libraries may have, and how many CPUs this process."""
    return os.environ.get("OMP_NUM_THREADS"), usable_cpus()


def square(x: int) -> int:
    return x * x


def setup(factor: int) -> None:
    global FACTOR
    if factor < 0:
        raise ValueError(f"{factor} is negative")
    FACTOR = factor


def scale(x: int) -> int:
    return FACTOR * x


def add(a: int, b: int) -> int:
    return a + b


def pid(_: Any = None) -> int:
    return os.getpid()


def host(_: Any = None) -> str:
    return os.uname().nodename


def process(_: Any = None) -> tuple[str, int]:
    """Return what tells this process from those of all other containers, which may have the same id."""
    return os.uname().nodename, os.getpid()


def refuse_odd(x: int) -> int:
    if x % 2:
        raise ValueError(f"{x} is odd")
    return x


def die_at(x: int, poison: int) -> int:
    """Live, unless the item is poisonous; what it prints is quoted."""
    if x == poison:
        print(f"{x} is my end")
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def leave(x: int) -> int:
    if x < 0:
        os._exit(0)
    return x


def wait_for(path: str) -> str:
    """Compute until the file exists."""
    while not Path(path).exists():
        time.sleep(0.002)
    return path


def hold(folder: str, name: str) -> str:
    """Leave a mark, and compute until the file ``go`` exists."""
    note(folder, name)
    wait_for(f"{folder}/go")
    return name


def mark_and_wait_for(mark: str, path: str) -> str:
    Path(mark).touch()
    return wait_for(path)


def note(folder: str, name: str) -> str:
    """Leave a mark of each time that this is called."""
    with open(Path(folder) / name, "a") as file:
        file.write("x")
    return name


def stuck_once(folder: str, name: str) -> str:
    """Compute until the file ``go`` exists, if this is the first call for ``stuck``; return the host."""
    mark = Path(folder) / name
    if name == "stuck" and not mark.exists():
        mark.write_text(host())
        wait_for(f"{folder}/go")
    return host()


def note_and_die_once(folder: str, name: str) -> str:
    mark = Path(folder) / name
    first = not mark.exists()
    note(folder, name)
    if first:
        os.kill(os.getpid(), signal.SIGKILL)
    return name


class Odd(BaseException):
    """Neither an error nor an exit."""


class Unprintable(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


def refuse(kind: Any) -> None:
    """Raise what is asked for; what is none is refused with all of it in the text."""
    kinds: dict[str, BaseException] = {
        "KeyboardInterrupt": KeyboardInterrupt(),
        "GeneratorExit": GeneratorExit(),
        "BaseExceptionGroup": BaseExceptionGroup("several", [Odd()]),
        "Odd": Odd(),
        "Unprintable": Unprintable(),
    }
    raise kinds[kind] if isinstance(kind, str) and kind in kinds else ValueError("refused")


async def refuse_coroutine(kind: Any) -> None:
    refuse(kind)


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


async def blob(size: int) -> bytes:
    return b"\7" * size


def repeat(x: Any, times: int) -> Any:
    return x * times


def big(x: Any) -> int:
    return len(x)


async def count_concurrent(seconds: float) -> int:
    """Return how many calls of this run at once in this process."""
    global RUNNING
    RUNNING += 1
    try:
        await asyncio.sleep(seconds)
        return RUNNING
    finally:
        RUNNING -= 1


async def touch_if_cancelled(started: str, cancelled: str) -> None:
    try:
        Path(started).touch()  # noqa: ASYNC240  # quick
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        Path(cancelled).touch()  # noqa: ASYNC240  # quick
        raise


serve(
    square,
    setup,
    scale,
    add,
    pid,
    host,
    process,
    refuse_odd,
    die_at,
    leave,
    wait_for,
    mark_and_wait_for,
    hold,
    note,
    stuck_once,
    note_and_die_once,
    now,
    threads,
    big,
    repeat,
    refuse,
    refuse_coroutine,
    sleep,
    blob,
    count_concurrent,
    touch_if_cancelled,
)
