"""The reasons that people are told while workers take long to start."""

import asyncio
from pathlib import Path

import pytest

from aioparcs.engine import LauncherState, Placement, WorkerGroup, WorkerSpec
from aioparcs.runner.state import JobState, stimuli
from tests.support.jobs import EventRecorder, job, module
from tests.support.waiting import until

NODE = "no suitable node (insufficient resources on 3 nodes)"
SPEC = WorkerSpec("m")
SLOW = """
import time
from pathlib import Path
from aioparcs import serve

while not Path(__file__).with_name("go").exists():
    time.sleep(0.01)


def echo(value):
    return value


serve(echo)
"""


class Starts:
    """A job with one group of workers, each in a container of its own, or several in one."""

    def __init__(self, workers: int, spec: WorkerSpec = SPEC, each: int = 1) -> None:
        self.state = JobState(60.0, 3)
        self.numbers = self.state.number("m", workers)
        placements = tuple(Placement(number, number, each) for number in self.numbers[::each])
        group = WorkerGroup(spec, 0, workers, placements)
        self.handle(stimuli.GroupPlaced(group), 0.0)
        self.handle(stimuli.StartRequested(group, None), 0.0)

    def handle(self, stimulus: stimuli.Stimulus, now: float) -> list[stimuli.ShowWaits]:
        return [action for action in self.state.handle(stimulus, now) if isinstance(action, stimuli.ShowWaits)]

    def look(self) -> list[stimuli.ShowWaits]:
        """Handle the deadline of the next look."""
        assert self.state.next_deadline is not None
        return self.handle(stimuli.DeadlineReached(), self.state.next_deadline)

    def report(self, worker: int, reason: str) -> None:
        self.handle(stimuli.EngineReported(LauncherState(worker, "placed", reason)), 1.0)

    def connect(self, *workers: int) -> None:
        for worker in workers:
            self.handle(stimuli.LauncherConnected(worker), 1.0)
            self.handle(stimuli.WorkerConnected(worker), 1.0)


def test_what_a_container_needs_is_named_where_no_node_has_it() -> None:
    for spec, needs in (
        (SPEC._replace(cpus=2.0), "; it needs a node with 4 free CPUs"),
        (SPEC._replace(cpus=0.5, memory=1 << 30), "; it needs a node with 1 free CPU and 2,048 MiB of free memory"),
        (SPEC._replace(gpus=1), "; it needs a node with 2 free GPUs"),
        (SPEC, ""),
    ):
        starts = Starts(2, spec, each=2)
        starts.report(0, NODE)
        assert [wait.reason for wait in starts.look()] == [f"{NODE}{needs}"]


def test_quick_starts_are_not_reported() -> None:
    starts = Starts(3)
    assert starts.state.next_deadline == 3.0
    starts.connect(*starts.numbers)
    assert starts.state.next_deadline is None


def test_the_commonest_reason_is_reported_whenever_it_changes() -> None:
    starts = Starts(4)
    starts.report(0, "its node is pulling the image")
    for worker in (1, 2, 3):
        starts.report(worker, NODE)
    assert starts.look() == [stimuli.ShowWaits("m", 3, NODE)]
    assert starts.look() == [], "it has not changed"
    starts.connect(1)
    assert starts.look() == [stimuli.ShowWaits("m", 2, NODE)]
    starts.connect(2, 3)
    assert starts.look() == [stimuli.ShowWaits("m", 1, "its node is pulling the image")]
    starts.connect(0)
    assert starts.state.next_deadline is None


@pytest.mark.slow
async def test_a_program_that_does_not_come_to_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioparcs.runner.state.waits._PATIENCE", 0.05)
    module(tmp_path, "late", SLOW)
    recorder = EventRecorder()
    async with job(tmp_path, recorder=recorder) as runner:
        starting = asyncio.ensure_future(runner.start_many("late", 2))
        await until(lambda: ("waiting", "late", 2, "has its main.py called serve(...)?") in recorder.events)
        (tmp_path / "late" / "go").touch()
        assert [await task.call("echo", 3) for task in await starting] == [3, 3]
