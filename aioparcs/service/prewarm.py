"""The prewarming of a launcher: work that it does once before it forks, so that none of its workers has to."""

from __future__ import annotations

import asyncio

from aioparcs.channel import CONCURRENCY, Channel
from aioparcs.channel.handshake.prewarm import prewarm_handshake
from aioparcs.errors import ParcsError
from aioparcs.launcher.connect import adopt
from aioparcs.launcher.context import RunnerEndpoint, WorkerContext
from aioparcs.loop import new_loop
from aioparcs.service.conversation import converse
from aioparcs.service.peer_endpoint import PeerEndpoint
from aioparcs.service.service import Service
from aioparcs.service.targets import program_of
from aioparcs.settings import Settings
from aioparcs.telemetry import find_tracer
from aioparcs.transport import streams_of

__all__ = ["prewarm"]


def prewarm(runner: RunnerEndpoint, settings: Settings, *, functions: bool) -> None:
    """
    Run a handshake, a loop, a channel and a service, and keep only what Python has learnt, and libuv's own pipe.

    Caches that are filled and code that is specialised here are memory that all workers share; else each would
    write it for itself, and have a copy of the page. A worker that was never prewarmed needs three times as long.

    Args:
        runner: the runner's address, which is not dialled.
        settings: limits and deadlines.
        functions: whether workers answer calls of functions, or run a service.
    """
    is_traced = find_tracer() is not None  # a call would be one of the spans that the program exports
    loop = new_loop()
    try:
        loop.run_until_complete(_play(runner, settings, functions=functions and not is_traced))
    except (OSError, ParcsError):
        pass  # a process that can't dial itself has slower workers
    finally:
        loop.close()


async def _play(runner: RunnerEndpoint, settings: Settings, *, functions: bool) -> None:
    ours, theirs, hello = prewarm_handshake(runner.address.scheme, settings)
    endpoint, context = PeerEndpoint(runner, settings, -1), WorkerContext(-1, 0, 1, -1)
    program = program_of([_answer if functions else _Echo], "")
    running = asyncio.ensure_future(converse(adopt(ours, hello), endpoint, settings, context, program))
    here = Channel(*await streams_of(theirs), settings=settings)
    if functions:
        await here.call(CONCURRENCY, 1, "", 0, True)  # as a pool does
        await here.call("", None)
    else:
        await here.send([None, [None]])
        await here.recv()
    await here.aclose()
    await running


async def _answer(message: object) -> object:
    return message


class _Echo(Service):
    async def run(self) -> None:
        async for message in self:
            await self.send(message)
