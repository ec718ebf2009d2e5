"""Functions of every kind."""

import asyncio
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from aioparcs import serve


def add(a: Any, b: Any = 1) -> Any:
    return a + b


def keywords(**names: Any) -> dict[str, Any]:
    return names


def pid() -> int:
    return os.getpid()


def wait_for(path: str) -> str:
    """Compute until the file exists."""
    while not Path(path).exists():
        time.sleep(0.005)
    return threading.current_thread().name


async def block_loop(started: str, path: str) -> None:
    await touch(started)
    wait_for(path)


async def touch(path: str) -> None:
    Path(path).touch()  # noqa: ASYNC240  # quick


async def wait_coroutine(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


async def touch_if_cancelled(started: str, cancelled: str) -> None:
    try:
        await touch(started)
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await touch(cancelled)
        raise


async def cancel_itself() -> None:
    raise asyncio.CancelledError("cancelled by itself")


def fail(kind: str, *arguments: Any) -> None:
    errors = {"KeyError": KeyError, "StopIteration": StopIteration, "SystemExit": SystemExit, "ValueError": ValueError}
    raise errors[kind](*arguments)


async def fail_coroutine(kind: str, *arguments: Any) -> None:
    fail(kind, *arguments)


def unserialisable() -> object:
    return [1, object()]


async def unserialisable_later() -> object:
    return [{"a": object()}]


def vanish(code: int) -> None:
    os._exit(code)


def print_text(text: str) -> None:
    print(text, file=sys.stderr)


serve(
    add,
    pid,
    wait_for,
    block_loop,
    touch,
    wait_coroutine,
    touch_if_cancelled,
    cancel_itself,
    fail,
    fail_coroutine,
    unserialisable,
    unserialisable_later,
    print_text,
    vanish,
    keywords,
)
