"""Many items in one loop over results: what the runner keeps does not grow with them."""

import gc
from collections import Counter
from typing import Any

import pytest

from aioparcs.events import CallSpans, Event
from aioparcs.pool.scheduler import PendingCall
from tests.support.jobs import job

pytestmark = pytest.mark.one_loop

_PART, _PARTS = 20_000, 3
_AHEAD = 2 * 256  # calls of two workers that may be in flight, or done and not taken


def _count() -> Counter[type[Any]]:
    gc.collect()
    return Counter(map(type, gc.get_objects()))


@pytest.mark.slow
async def test_what_a_runner_keeps_does_not_grow_with_the_items() -> None:
    counts: list[Counter[type[Any]]] = []
    calls = 0

    def count_calls(event: Event) -> None:
        nonlocal calls
        if isinstance(event, CallSpans):
            calls += sum(span.calls for span in event.spans)

    async with job(calls=count_calls) as runner, runner.pool("functions", 2, function="add", progress=False) as pool:
        taken = 0
        async for _ in pool.istarmap_unordered((n, 1) for n in range(_PART * _PARTS)):
            taken += 1
            if taken % _PART == 0:
                counts.append(_count())
    assert taken == calls == _PART * _PARTS
    assert all(count[PendingCall] <= 2 * _AHEAD for count in counts)
    assert counts[-1].total() - counts[0].total() < _PART // 10
