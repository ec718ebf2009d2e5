"""Two recordings side by side."""

import pytest

from aioparcs.events import CallSpans, Event
from aioparcs.recording import Recording
from aioparcs.recording.comparison import Change, compare
from aioparcs.recording.history import history_of
from aioparcs.recording.summary import summarize
from tests.support.recordings import recording


def changes(before: Recording, after: Recording) -> dict[tuple[str, str], Change]:
    found = compare(*(summarize(history_of(made)) for made in (before, after)))
    return {(change.subject, change.what): change for change in found}


def test_a_program_is_as_itself() -> None:
    found = changes(recording(4, 100), recording(4, 100))
    assert all(change.before == change.after for change in found.values())
    assert not any(change.is_clear for change in found.values())
    assert found["frame", "mean"].ratio == 1.0


def test_a_slower_function_is_a_clear_change() -> None:
    found = changes(recording(4, 100), recording(4, 100, factor=2))
    assert found["frame", "mean"].is_clear is True
    assert found["frame", "mean"].ratio == pytest.approx(2)
    assert found["program", "rate"].ratio == pytest.approx(0.65, abs=0.1)
    assert found["frame", "share"].before == pytest.approx(0.75, abs=0.02)


def test_what_may_be_chance_is_not() -> None:
    found = changes(recording(4, 100), recording(4, 100, factor=1.01))
    assert found["frame", "mean"].is_clear is False


def test_what_only_one_has_is_nothing_in_the_other() -> None:
    found = changes(recording(2, 0), recording(2, 10))
    assert (found["frame", "mean"].before, found["frame", "mean"].is_clear, found["frame", "mean"].ratio) == (None,) * 3
    assert found["frame", "calls"].after == 14


def test_failed_and_cancelled_calls_have_rows_if_there_are_any() -> None:
    def cancel(event: Event) -> Event:
        if not isinstance(event, CallSpans):
            return event
        return event._replace(spans=tuple(span._replace(cancelled=span.failed, failed=0) for span in event.spans))

    failing = recording(4, 100)
    cancelled = failing._replace(events=[cancel(event) for event in failing.events])
    found = changes(failing, cancelled)
    count = found["frame", "failed"].before
    assert count
    assert found["frame", "failed"][3:5] == (count, 0)
    assert found["frame", "cancelled"][3:5] == (0, count)
    assert ("frame", "cancelled") not in changes(failing, failing)
