"""
Functions whose calls are spans of a trace: they go to a file of each worker in the folder FOLDER.

PROVIDER says when the tracer provider is set, and how spans leave it: ``import`` or ``setup``, ``simple`` or ``batch``.
FRESH=1 gives each worker an interpreter of its own.
"""

import asyncio
import functools
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

from aioparcs import Runner, serve
from tests.support.telemetry import FileExporter

WHEN, HOW = os.environ.get("PROVIDER", "import simple").split()
tracer = trace.get_tracer("traced")


def set_provider() -> None:
    provider, exporter = TracerProvider(), FileExporter(Path(os.environ["FOLDER"]))
    provider.add_span_processor(BatchSpanProcessor(exporter) if HOW == "batch" else SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def half(n: int) -> float:
    with tracer.start_as_current_span("inner"):
        return 12 / n


async def wait(n: int) -> int:
    with tracer.start_as_current_span("inner"):
        await asyncio.sleep(0.001)
    return n


def later(n: int) -> Awaitable[int]:
    return wait(n)


def wrapping(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any) -> Any:
        with tracer.start_as_current_span("wrapper"):
            return function(*args)

    return call


@wrapping
async def wrapped(n: int) -> int:
    return await wait(n)


def count(n: int) -> Iterator[int]:
    for i in range(n):
        with tracer.start_as_current_span("inner"):
            yield i
    if n > 3:
        raise ValueError(f"{n} is too many")


async def acount(n: int) -> AsyncIterator[int]:
    for i in range(n):
        await asyncio.sleep(0)
        with tracer.start_as_current_span("inner"):
            yield i


def die_once(place: str) -> str:
    """Kill this worker, the first time that this is called."""
    try:
        Path(place).touch(exist_ok=False)
    except FileExistsError:
        return "done"
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def linger_once(place: str) -> str:
    """Wait for a second call of this, the first time that it is called; return at once without a place."""
    if not place:
        return ""
    second = Path(f"{place}.second")
    try:
        Path(place).touch(exist_ok=False)
    except FileExistsError:
        second.touch()
        return "second"
    while not second.exists():
        time.sleep(0.01)
    return "first"


async def nested(folder: str) -> list[float]:
    """Call workers of a runner inside this worker."""
    async with Runner(modules=[folder]) as runner, runner.pool("traced", 1, function="half") as pool:
        return await pool.map([1, 2])


def interrupted() -> None:
    raise asyncio.IncompleteReadError(b"", 1)


def setup() -> None:
    set_provider()


if WHEN == "import":
    set_provider()
served = (half, wait, later, wrapped, count, acount, die_once, linger_once, nested, interrupted, setup)
serve(*served, fork="FRESH" not in os.environ)
