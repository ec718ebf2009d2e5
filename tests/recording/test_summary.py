"""The numbers of a report and its timeline, from recordings by a script."""

import json
import zlib
from base64 import b64decode
from typing import Any

import pytest

from aioparcs.events import CallSpan, CallSpans, Event, WorkerConnected, WorkerExited, WorkersRequested
from aioparcs.recording import Recording
from aioparcs.recording.history import History, history_of
from aioparcs.recording.report import LARGEST, render_report
from aioparcs.recording.summary import summarize
from aioparcs.recording.timeline import make_series, make_timeline
from tests.support.recordings import recording, started


def history(*spans: tuple[float, float, float, int], end: float = 11.0) -> History:
    """Return the history of one worker that is up from second 1 on, with (begin, end, busy, calls) of spans."""
    events: list[Event] = [WorkersRequested(100.0, "f", range(1)), WorkerConnected(101.0, "f", 0)]
    for begin, until, busy, calls in spans:
        span = CallSpan(0, "f", 100 + begin, 100 + until, busy, calls, 0, "", "")
        events.append(CallSpans(100 + until, 0, (span,)))
    return history_of(Recording(started(), [*events, WorkerExited(100 + end, "f", 0, None)], 0))


def unpack(packed: str) -> Any:
    return json.loads(zlib.decompress(b64decode(packed)))


@pytest.mark.parametrize(
    "spans, utilisation",
    [
        ([(1, 11, 10, 1)], 1.0),
        ([(1, 6, 5, 1)], 0.5),
        ([(1, 6, 1, 100)], 0.1),
        ([(1, 6, 5, 1), (2, 6, 4, 1), (3, 6, 3, 1)], 0.5),
        ([(1, 2, 1, 1), (10, 11, 1, 1)], 0.2),
    ],
)
def test_utilisation_is_the_share_of_time_in_at_least_one_call(
    spans: list[tuple[float, float, float, int]], utilisation: float
) -> None:
    made = history(*spans)
    summary = summarize(made)
    assert summary.utilisation == pytest.approx(utilisation)
    assert (summary.workers, summary.peak, summary.lost, summary.duration) == (1, 1, 0, 11.0)
    series = make_series(made)
    assert sum(series.busy) * series.step == pytest.approx(10 * utilisation, abs=0.01)
    assert sum(series.rate) * series.step == pytest.approx(sum(span[3] for span in spans), abs=0.01)
    assert sum(series.connected) * series.step == pytest.approx(10, abs=0.01)


def test_a_program_without_calls_has_no_utilisation() -> None:
    assert summarize(history()).utilisation is None
    assert summarize(history_of(Recording(started(), [], 0))).rate == 0.0


def test_functions_nodes_and_deaths_add_up() -> None:
    summary = summarize(history_of(recording(8, 100, nodes=2)))
    assert (summary.calls, summary.items, summary.failed, summary.lost) == (800, 800, 16, 1)
    assert [(one.name, one.calls) for one in summary.functions] == [("frame", 600), ("merge", 200)]
    assert sum(one.failed for one in summary.functions) == 16
    assert [(node.node, node.workers, node.lost, node.calls) for node in summary.nodes] == [
        ("node1", 4, 1, 400), ("node2", 4, 0, 400)
    ]  # fmt: skip
    assert 0.09 < summary.functions[0].mean < 0.11
    assert summary.functions[0].spread is not None
    assert 0 < summary.functions[0].spread < 0.02


def test_stragglers_are_the_workers_that_are_far_from_the_others() -> None:
    assert summarize(history_of(recording(8, 50))).stragglers == []
    (one,) = summarize(history_of(recording(8, 50, slow=3))).stragglers
    assert (one.worker, one.node) == ("render:3", "node1")
    assert one.more == pytest.approx(5, abs=1)
    assert one.slower == pytest.approx(5, abs=1)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1_000_000, 20_000, 5_000])
def test_a_timeline_keeps_all_calls_at_any_resolution(limit: int) -> None:
    made = history_of(recording(20, 200))
    timeline = make_timeline(made, limit)
    assert len(timeline.packed) <= limit
    content = unpack(timeline.packed)
    assert [row[0] for row in content["workers"]] == list(range(20))
    for worker, spans in zip(made.workers.values(), content["spans"], strict=True):
        groups = [spans[first : first + 8] for first in range(0, len(spans), 8)]
        assert sum(group[3] for group in groups) == 200
        assert sum(group[4] for group in groups) == 4
        reached = 0
        for gap, length, *_ in groups:
            reached += gap + length
        assert reached * timeline.unit == pytest.approx(worker.spans[-1].end, abs=timeline.unit)
        busy = sum(group[1] * group[5] / 100 for group in groups) * timeline.unit
        assert busy == pytest.approx(worker.busy, rel=0.03)


def test_a_timeline_of_too_many_workers_shows_some() -> None:
    timeline = make_timeline(history_of(recording(3000, 1)), 8000)
    assert len(timeline.packed) <= 8000
    assert 0 < len(unpack(timeline.packed)["workers"]) < 3000


@pytest.mark.slow
@pytest.mark.parametrize("workers, spans, lines", [(10_000, 3, 10), (3, 20_000, 10), (2, 10, 30_000)])
def test_a_report_is_below_a_megabyte_whatever_was_recorded(workers: int, spans: int, lines: int) -> None:
    page = render_report(recording(workers, spans, lines=lines, error="é" * 100_000))
    assert len(page.encode()) < LARGEST
    assert page.count("</script>") == 2
