"""Endings that a cancellation must not cut short."""

import asyncio
import time

import anyio
import pytest

from aioparcs.ending import in_full

LONG = 0.4


@pytest.mark.parametrize("late", [False, True])
async def test_an_ending_waits_without_spinning_under_a_cancelled_scope_of_anyio(late: bool) -> None:
    loop = asyncio.get_running_loop()
    ended = False

    async def ending() -> None:
        nonlocal ended
        await asyncio.sleep(LONG)
        ended = True

    with anyio.CancelScope() as scope:
        if late:
            loop.call_later(LONG / 4, scope.cancel)
        else:
            scope.cancel()
        begun = time.process_time()
        try:
            await in_full(ending())
            await asyncio.sleep(60)
        finally:
            spent = time.process_time() - begun
            assert ended
    assert scope.cancelled_caught
    assert spent < LONG / 2, "a scope cancels what waits in it again in each turn of the loop"


async def test_in_full_waits_despite_any_number_of_cancellations() -> None:
    release = asyncio.Event()
    waiting = asyncio.ensure_future(in_full(release.wait()))
    for _ in range(3):
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
