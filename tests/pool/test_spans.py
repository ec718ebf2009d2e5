"""The collector of calls: however many come at once, the next event comes soon, and no call is missing."""

import asyncio

import pytest

from aioparcs.events import CallSpan, CallSpans, Event, EventBus
from aioparcs.task import SpanCollector

WORKERS = 500
SOON = 10  # seconds that a busy machine may take for two


class Spans:
    """The spans of all events, and a condition for those that wait for calls."""

    def __init__(self) -> None:
        self.spans: list[CallSpan] = []
        self.changed = asyncio.Event()

    def __call__(self, event: Event) -> None:
        assert isinstance(event, CallSpans)
        self.spans += event.spans
        self.changed.set()

    @property
    def calls(self) -> int:
        return sum(span.calls for span in self.spans)

    async def wait_for_calls(self, count: int) -> None:
        async with asyncio.timeout(SOON):
            while self.calls != count:
                self.changed.clear()
                await self.changed.wait()


def add(collector: SpanCollector, worker: int, begin: float, seconds: float, function: str = "f") -> None:
    collector.ended(worker, function, begin, begin + seconds, None, lambda: "a call")


async def test_after_a_flood_of_calls_the_next_ones_are_soon_published() -> None:
    spans = Spans()
    collector = SpanCollector(EventBus(spans), 0)
    for call in range(40_000):
        add(collector, call % WORKERS, call / 20_000, 0.05)
    await spans.wait_for_calls(40_000)
    assert len(spans.spans) < 2000
    add(collector, 0, 3.0, 0.05)
    await spans.wait_for_calls(40_001)


async def test_the_name_of_a_function_that_there_need_not_be_is_cut() -> None:
    spans = Spans()
    collector = SpanCollector(EventBus(spans), 0)
    add(collector, 0, 0.0, 0.05, "f" * 1_000_000)
    await spans.wait_for_calls(1)
    assert spans.spans[0].function == "f" * 200


async def test_short_calls_of_many_functions_with_pauses_are_few_spans_and_none_is_missing() -> None:
    spans = Spans()
    collector = SpanCollector(EventBus(spans), 0)
    for call in range(30_000):
        add(collector, call % 10, call / 100, 0.002, f"f{call % 3}")
    await spans.wait_for_calls(30_000)
    assert len(spans.spans) < 300
    assert sum(span.busy for span in spans.spans) == pytest.approx(30_000 * 0.002)
    counts = [sum(span.calls for span in spans.spans if span.function == f"f{number}") for number in range(3)]
    assert counts == [10_000] * 3
    for worker in range(10):
        own = sorted(span for span in spans.spans if span.worker == worker)
        assert all(span.begin <= span.end for span in own)
