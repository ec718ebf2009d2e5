"""The lines of events in a log: apart from the text whatever that is, and few however much happens."""

import json
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioparcs.display.view import JobView
from aioparcs.events import (
    Event,
    Snapshot,
    StatusLine,
    WorkerConnected,
    WorkerProgress,
    WorkersPlaced,
    WorkersRequested,
)
from aioparcs.events.codec import to_json
from aioparcs.events.log import EventLog, EventLogReader

WORD = "0123456789abcdef"
Entry = tuple[str, bool] | Event


def line(number: int, event: Event, word: str = WORD) -> str:
    return f"\x1e{word} {number} {to_json(event)}"


def read(*lines: tuple[str, bool], word: str = WORD) -> Iterator[Entry]:
    """Read lines of a log, each with whether it is one of standard error; yield texts with that, and events."""
    reader = EventLogReader(word)
    for text, error in lines:
        entry = reader.read(text, error=error)
        if isinstance(entry, str):
            yield entry, error
        elif entry is not None:
            yield entry
    yield from reader.rest()


ONE, TWO = StatusLine(1.0, "one"), StatusLine(2.0, "two")


def test_events_are_separated_from_the_text() -> None:
    log = [("first", False), (line(1, ONE), True), ("second", True), (line(2, TWO), True)]
    assert list(read(*log)) == [("first", False), ONE, ("second", True), TWO]


def test_an_event_within_a_line_leaves_the_line_whole() -> None:
    log = [("10 %\r" + line(1, ONE), True), ("out", False), ("20 %\r" + line(2, TWO), True), ("100 %", True)]
    assert list(read(*log)) == [ONE, ("out", False), TWO, ("10 %\r20 %\r100 %", True)]
    assert list(read(("never ended" + line(1, ONE), True))) == [ONE, ("never ended", True)]


def test_events_that_were_read_before_are_left_out() -> None:
    log = [(line(1, ONE), True), (line(2, TWO), True)]
    assert list(read(*log, *log, (line(3, ONE), True))) == [ONE, TWO, ONE]


@pytest.mark.parametrize(
    "forged",
    [
        line(1, ONE, "fedcba9876543210"),
        f"\x1e {to_json(ONE)}",
        f"{WORD} 1 {to_json(ONE)}",
        f"\x1e{WORD}1 {to_json(ONE)}",
        to_json(ONE),
    ],
)
def test_text_without_the_word_of_the_log_is_no_event(forged: str) -> None:
    assert list(read((forged, True), (line(1, TWO), True))) == [(forged, True), TWO]


@pytest.mark.parametrize("rest", ["", "1", "1 ", "1 {}", "x {}", f"{'9' * 5000} {{}}", "² {}", f"0 {to_json(ONE)}",
                                  f"-1 {to_json(ONE)}", f"1 {to_json(ONE)[:-1]}", f"1 {to_json(ONE)} "])  # fmt: skip
def test_a_broken_event_is_left_out_and_the_next_ones_are_read(rest: str) -> None:
    after = [event for event in read((f"\x1e{WORD} {rest}", True), (line(2, TWO), True)) if event != ONE]
    assert after == [TWO]


def test_a_log_without_events_is_read_as_it_is() -> None:
    assert list(read((line(1, ONE), True), ("\x1e 1", False), word="")) == [(line(1, ONE), True), ("\x1e 1", False)]


@pytest.mark.slow
@given(st.lists(st.tuples(st.text().filter(lambda text: "\n" not in text), st.booleans()), max_size=8))
def test_any_text_comes_through_unchanged(texts: list[tuple[str, bool]]) -> None:
    log: list[tuple[str, bool]] = []
    for number, text in enumerate(texts):
        log += [text, (line(number + 1, ONE), True)]
    assert [entry for entry in read(*log) if not isinstance(entry, Event)] == texts


# How much is written


def written(capfd: pytest.CaptureFixture[str]) -> list[str]:
    return capfd.readouterr().err.split("\n")[:-1]


def events(lines: list[str]) -> list[Event]:
    found = list(read(*((text, True) for text in lines)))
    assert all(isinstance(one, Event) for one in found)
    return found  # type: ignore[return-value]  # the line before says so


def follow(log: EventLog, view: JobView, begin: float, seconds: float) -> None:
    """Report the progress of 500 workers ten times a second, and pass the log a snapshot four times a second."""
    for quarter in range(int(begin * 4), int((begin + seconds) * 4)):
        now = quarter / 4
        for worker in range(500):
            view.apply(WorkerProgress(now, "factor", worker, quarter % 997, 1000))
        log.write_snapshot(view.snapshot(now, 0.0))


@pytest.mark.slow
def test_500_workers_cost_a_log_a_few_kilobytes_a_second(capfd: pytest.CaptureFixture[str]) -> None:
    log, view = EventLog(WORD), JobView()
    view.apply(WorkersRequested(0, "factor", range(500)))
    for node in range(100):
        view.apply(WorkersPlaced(0, "factor", range(5 * node, 5 * node + 5), f"a-long-name-of-node-{node}"))
    for worker in range(500):
        view.apply(WorkerConnected(0, "factor", worker))
        log.write_snapshot(view.snapshot(0.0, 0.0))
    follow(log, view, 0, 20)
    lines = written(capfd)
    assert 5 < len(lines) < 50
    assert sum(len(text) for text in lines) < 2.5 * 1024 * 20
    last = events(lines)[-1]
    assert isinstance(last, Snapshot)
    assert (last.modules[0].up, len(last.modules[0].nodes)) == (500, 100)
    follow(log, view, 3600, 60)
    assert len(written(capfd)) <= 13


def test_a_log_with_no_news_has_a_snapshot_now_and_then(capfd: pytest.CaptureFixture[str]) -> None:
    log, view = EventLog(WORD), JobView()
    view.apply(WorkersRequested(0, "factor", range(2)))
    for quarter in range(240):
        log.write_snapshot(view.snapshot(quarter / 4, 0.0))
    assert [event.time for event in events(written(capfd))] == [0, 15, 30, 45]
    log.write_snapshot(view.snapshot(60, 0.0, is_over=True))
    (last,) = events(written(capfd))
    assert isinstance(last, Snapshot)
    assert last.is_over


def test_a_snapshot_of_thousands_of_names_is_shortened(capfd: pytest.CaptureFixture[str]) -> None:
    log, view = EventLog(WORD), JobView()
    for number in range(100):
        view.apply(WorkersRequested(0, f"{'é' * 400}{number}", range(50)))
        for node in range(50):
            view.apply(WorkersPlaced(0, f"{'é' * 400}{number}", range(node, node + 1), f"node{node}"))
    log.write_snapshot(view.snapshot(0, 0.0))
    (text,) = written(capfd)
    assert len(text.encode()) < 12_000
    (event,) = events([text])
    assert isinstance(event, Snapshot)
    assert [state.requested for state in event.modules] == [50] * 20


def test_names_of_any_characters_are_written(capfd: pytest.CaptureFixture[str]) -> None:
    EventLog(WORD).write_status(1.0, "a\nb\udc80\x1e\x85é")
    (text,) = capfd.readouterr().err.removesuffix("\n").split("\n")
    assert json.loads(text.split(" ", 2)[2])["text"] == "a\nb\udc80\x1e\x85é"


def test_a_line_is_written_whole_when_a_write_ends_early(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write = os.write
    monkeypatch.setattr("aioparcs.events.log.os.write", lambda file, data: write(file, data[:7]))
    EventLog(WORD).write_status(1.0, "one")
    assert events(written(capfd)) == [ONE]


def test_a_log_whose_reader_is_gone_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: int, data: bytes) -> int:
        raise BrokenPipeError

    monkeypatch.setattr("aioparcs.events.log.os.write", fail)
    EventLog(WORD).write_status(1.0, "one")
