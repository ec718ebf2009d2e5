"""The last lines and samples of a worker, read from the end of a history that grows."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from aioparcs.events import ChannelSamples, Event, LogLines, WorkerUsage
from aioparcs.events.codec import from_json, to_json
from aioparcs.events.samples import ChannelSample, Use
from aioparcs.monitor import worker_details as module
from aioparcs.monitor.records import Calls
from aioparcs.monitor.worker_details import WorkerDetails, worker_details

pytestmark = pytest.mark.one_loop


def write(path: Path, events: Iterable[Event], end: str = "\n") -> None:
    with path.open("a") as file:
        file.write("\n".join(map(to_json, events)) + end)


def events_of(worker: int, seconds: range) -> list[Event]:
    return [
        event
        for second in seconds
        for event in (
            LogLines(second, "crunch", ((worker, f"{worker} at {second}"), (None, f'[{worker + 1},"no line'))),
            WorkerUsage(second, (Use(worker, 0.5, second),)),
            ChannelSamples(second, (ChannelSample(worker, second, 0, 10 * second, 0, 0, 0),)),
        )
    ]


def test_only_what_is_new_of_the_worker_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, parsed = tmp_path / "a.jsonl", list[str]()

    def parse(line: str) -> Event | None:
        parsed.append(line)
        return from_json(line)

    monkeypatch.setattr(module, "from_json", parse)
    write(path, events_of(1, range(1, 1000)))
    write(path, events_of(2, range(1, 11)))
    details = WorkerDetails(path, 2, 0)
    first = details.read()
    assert len(parsed) == 30
    write(path, events_of(2, range(11, 13)))
    write(path, events_of(1, range(1000, 1010)))
    second = details.read()
    assert len(parsed) == 36
    assert details.read() == second == worker_details(path, 2, 0)
    assert [row[4] for row in second["log"]] == [f"2 at {number}" for number in range(1, 13)]
    assert first["usageSeries"] == second["usageSeries"][:10] == [[n, 0.5, n] for n in range(1, 11)]
    assert second["channelSeries"] == [[n, 1.0, 10.0] for n in range(2, 13)]


def test_a_line_is_read_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    details = WorkerDetails(path, 1, 0)
    assert details.read()["log"] == []
    write(path, events_of(1, range(1, 2)), end="")
    assert len(details.read()["log"]) == 1
    assert details.read()["channelSeries"] == []
    write(path, [], end="\n")
    write(path, events_of(1, range(2, 3)))
    assert details.read()["channelSeries"] == [[2, 1.0, 10.0]]


@pytest.mark.slow
def test_as_much_is_kept_as_without_what_was_read_before(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    details, last = WorkerDetails(path, 1, 0), dict[str, Calls]()
    for begin in range(0, 2000, 400):
        write(path, events_of(1, range(begin, begin + 400)))
        last = details.read()
        assert last == worker_details(path, 1, 0)
    assert [len(last[key]) for key in ("log", "usageSeries", "channelSeries")] == [500, 300, 300]
