"""The state of a job: whatever happens in whatever order, each worker starts and ends once, and nothing is left."""

import random
import signal
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from aioparcs.engine import LauncherState, Placement, WorkerGroup, WorkerSpec
from aioparcs.messages.launcher import ALL, Exited, Kill, Log, LogLine, Progress, Start
from aioparcs.runner.state import JobState, LauncherPhase, WorkerPhase, stimuli
from aioparcs.runner.state.stimuli import Action, Stimulus
from tests.support.deep import deep, repeats
from tests.support.strategies import property_test

ENDED = (LauncherPhase.LOST, LauncherPhase.GONE, LauncherPhase.FAILED)
BEFORE_START = (WorkerPhase.NUMBERED, WorkerPhase.PLACED)


class World:
    """
    What is around a job's state: an engine, launchers, services and users, who do anything at any time.

    It carries out the actions as far as the state can notice, and checks that each makes sense.
    """

    def __init__(self) -> None:
        self.state = JobState(60.0, 3)
        self.now = 0.0
        self.requested: list[tuple[range, int]] = []  # numbers that the engine is asked for, and their parent
        self.placed: dict[int, WorkerGroup] = {}  # groups that are not started
        self.alive: dict[int, int] = {}  # the workers that are placed and have not ended: their launchers
        self.connected: set[int] = set()
        self.failed: set[int] = set()
        self.started: set[int] = set()
        self.groups: dict[int, WorkerGroup] = {}  # those that are not released
        self.retained: set[int] = set()
        self.over: set[int] = set()
        self.links: set[int] = set()  # launchers with a connection
        self.gone: set[int] = set()  # launchers whose end the engine has reported
        self.watched: set[int] = set()
        self.receiving: set[int] = set()  # launchers that are being sent files
        self.slots = 0

    def handle(self, stimulus: Stimulus) -> list[Action]:
        actions = self.state.handle(stimulus, self.now)
        for action in actions:
            self.check(action)
        return actions

    def check(self, action: Action) -> None:
        match action:
            case stimuli.SendFiles(slot):
                assert slot in self.links
                self.receiving.add(slot)
            case stimuli.SendRequest(slot, Start() as start):
                assert slot in self.links - self.receiving
                numbers = set(range(start.first, start.first + start.workers))
                assert not numbers & self.started
                self.started |= numbers
            case stimuli.SendRequest(slot, Kill(number)):
                assert slot in self.links
                assert number == ALL or number in self.started
            case stimuli.FailStart(number):
                assert number in self.alive
                assert number not in self.connected | self.failed
                self.failed.add(number)
            case stimuli.ReportConnected(_, number):
                assert number in self.alive
                assert number not in self.connected | self.failed
                self.connected.add(number)
            case stimuli.EndWorker(number, lost, error, is_stopped):
                del self.alive[number]  # once, and not before it was placed
                assert is_stopped or lost is None or error == lost.reason
                assert number in self.connected | self.failed or lost is None
            case stimuli.ShowWaits(_, count):
                assert 0 < count <= len(self.alive.keys() - self.connected - self.failed)
            case stimuli.SetNode(_, numbers):
                assert set(numbers) <= self.alive.keys()
            case stimuli.ReleaseGroup(group):
                assert group.first not in self.retained
                del self.groups[group.first]  # once
            case stimuli.WatchGroup(group):
                slots = {placement.launcher for placement in group.placements}
                assert not slots <= self.watched
                self.watched |= slots
            case stimuli.RemoveLauncher(slot):
                assert slot in self.gone
                assert slot not in self.links
                assert slot not in self.alive.values()
            case stimuli.DisconnectLauncher(slot):
                self.links.discard(slot)
            case stimuli.CloseSession(number):
                self.over.add(number)

    # What may happen

    def request(self, rng: random.Random) -> None:
        parents = [n for n, w in self.state.workers.items() if w.phase not in BEFORE_START and not w.is_over]
        parent = rng.choice(parents) if parents and rng.random() < 0.5 else -1
        numbers = self.state.number("m", rng.randint(1, 4), parent)
        self.requested.append((numbers, parent))

    def refuse(self, rng: random.Random) -> None:
        if self.requested:
            numbers, _ = self.requested.pop(rng.randrange(len(self.requested)))
            assert self.handle(stimuli.GroupRefused(numbers)) == []

    def place(self, rng: random.Random) -> None:
        if not self.requested:
            return
        numbers, parent = self.requested.pop(rng.randrange(len(self.requested)))
        wire = "v1" if parent < 0 and len(numbers) == 1 and rng.random() < 0.1 else "v2"
        needs_files = wire == "v2" and rng.random() < 0.3  # then its launchers are its own
        known = [
            slot
            for slot, one in self.state.launchers.items()
            if not (needs_files or slot in self.gone or one.is_original or one.group.needs_files)
        ]
        placements: list[Placement] = []
        first = numbers.start
        while first < numbers.stop:
            size = rng.randint(1, numbers.stop - first)
            unused = [slot for slot in known if all(slot != placement.launcher for placement in placements)]
            if unused and wire == "v2" and rng.random() < 0.5:
                slot = rng.choice(unused)
            else:
                slot, self.slots = self.slots, self.slots + 1
            placements.append(Placement(slot, first, size))
            first += size
        spec = WorkerSpec("m", parent=parent, wire=wire)
        group = WorkerGroup(spec, numbers.start, len(numbers), tuple(placements), needs_files)
        self.groups[group.first] = group
        self.alive |= {number: p.launcher for p in placements for number in range(p.first, p.first + p.size)}
        self.handle(stimuli.GroupPlaced(group))
        if parent < 0:
            self.handle(stimuli.StartRequested(group, None))
        else:
            self.placed[group.first] = group

    def expect(self, rng: random.Random) -> None:
        if self.placed:
            group = self.placed.pop(rng.choice(list(self.placed)))
            self.handle(stimuli.StartRequested(group, "tcp://there:1"))

    def connect_launcher(self, rng: random.Random) -> None:
        slots = [
            slot
            for slot, launcher in self.state.launchers.items()
            if launcher.phase is LauncherPhase.STARTING and not launcher.is_original
        ]
        if slots:
            slot = rng.choice(slots)
            self.links.add(slot)
            self.handle(stimuli.LauncherConnected(slot))

    def send_files(self, rng: random.Random) -> None:
        """Report that a launcher has its files, perhaps one that is lost."""
        if self.receiving:
            slot = rng.choice(sorted(self.receiving))
            self.receiving.discard(slot)
            before = len(self.started)
            actions = self.handle(stimuli.FilesSent(slot))
            assert actions == [] or slot in self.links
            assert len(self.started) == before or not self.state.is_ending

    def connect_worker(self, rng: random.Random) -> None:
        if self.started & self.alive.keys():
            self.handle(stimuli.WorkerConnected(rng.choice(sorted(self.started & self.alive.keys()))))

    def report(self, rng: random.Random) -> None:
        """Report anything of any worker from a launcher."""
        if self.links:
            slot, number = rng.choice(sorted(self.links)), rng.randrange(self.next)
            own = [worker for worker, launcher in self.alive.items() if launcher == slot]
            number = rng.choice(own) if own and rng.random() < 0.8 else number
            code = rng.choice([0, 3, -9, 143, None])
            report: Any = rng.choice(
                [Exited(number, code, ["x"], b"r"), Log([LogLine(number, "y")], 0), Progress(number, 1, 2)]
            )
            before = dict(self.alive)
            self.handle(stimuli.LauncherReported(slot, report))
            if self.alive.get(number) != before.get(number):
                assert before[number] == slot, "a launcher ends only its own workers"
                assert number in self.started, "and only those that it was asked for"

    def disconnect(self, rng: random.Random) -> None:
        if self.links:
            slot = rng.choice(sorted(self.links))
            self.links.discard(slot)
            ends: list[Stimulus] = [
                stimuli.ConnectionEnded(slot, "is lost"),
                stimuli.LauncherUnreachable(slot, "is lost"),
            ]
            self.handle(rng.choice(ends))

    def report_engine(self, rng: random.Random) -> None:
        slots = sorted(self.watched - self.gone if rng.random() < 0.8 else self.watched)
        if slots:
            slot, state = rng.choice(slots), rng.choice(["placed", "running", "gone", "gone", "failed"])
            code = rng.choice([None, 0, 1, -9]) if state == "gone" else None
            report = LauncherState(slot, state, "did so", code, rng.choice(["", "a", "b"]))
            if slot in self.gone:
                assert self.handle(stimuli.EngineReported(report, ("z",))) == [], "an end is reported once"
                return
            if state in ("gone", "failed"):
                self.gone.add(slot)
                if state == "failed" or code:
                    self.handle(stimuli.LauncherFailed(slot))
            self.handle(stimuli.EngineReported(report, ("z",)))

    def kill(self, rng: random.Random) -> None:
        if self.state.workers:
            number = rng.choice(list(self.state.workers))
            worker = self.state.workers[number]
            launcher = self.state.launchers.get(worker.launcher)
            waits = launcher is not None and launcher.is_waiting and not launcher.is_original
            self.handle(stimuli.KillRequested(number, rng.choice([signal.SIGTERM, signal.SIGKILL])))
            if waits and worker.phase not in BEFORE_START:
                assert number not in self.alive, "what has no launcher yet ends at once"

    def fail_start(self, rng: random.Random) -> None:
        if self.alive:
            self.handle(stimuli.StartFailed(rng.choice(list(self.alive)), "no answer"))

    def end_parent(self, rng: random.Random) -> None:
        if self.state.workers:
            self.handle(stimuli.ParentEnded(rng.choice(list(self.state.workers))))

    def retain(self, rng: random.Random) -> None:
        if self.alive:
            reservation = self.state.retain(rng.choice(list(self.alive)))
            if reservation is not None:
                self.retained.add(reservation)

    def release(self, rng: random.Random) -> None:
        if self.retained:
            reservation = rng.choice(sorted(self.retained))
            self.retained.discard(reservation)
            self.handle(stimuli.ReservationReleased(reservation))

    def replace(self, rng: random.Random) -> None:
        for reservation in sorted(self.retained):
            for placement in self.groups[reservation].placements:
                if self.state.can_replace(placement.launcher, reservation):
                    number = self.state.number("m", 1).start
                    self.alive[number] = placement.launcher
                    self.handle(stimuli.ReplacementPlaced(number, placement.launcher, 0, 1, reservation))
                    assert number in self.started
                    return

    def wait(self, rng: random.Random) -> None:
        self.now += rng.choice([0.1, 1.0, 10.0])
        if (deadline := self.state.next_deadline) is not None and rng.random() < 0.3:
            self.now = max(self.now, deadline)
        self.handle(stimuli.DeadlineReached())
        assert self.state.next_deadline is None or self.state.next_deadline > self.now

    def end(self, rng: random.Random) -> None:
        self.handle(stimuli.JobEnding())

    # What is always so

    @property
    def next(self) -> int:
        return max([0, *self.state.workers, *self.started]) + 2

    def check_all(self) -> None:
        state = self.state
        numbered = {number for numbers, _ in self.requested for number in numbers}
        assert state.workers.keys() == self.alive.keys() | numbered
        assert state.spawned == sum(worker.parent >= 0 for worker in state.workers.values())
        for number, worker in state.workers.items():
            assert (worker.phase is WorkerPhase.NUMBERED) == (number in numbered)
            if number in self.alive:
                self.check_worker(number)
        for slot, launcher in state.launchers.items():
            assert launcher.has_connection == (slot in self.links)
            assert launcher.requests == [] or not launcher.was_connected or launcher.group.needs_files
            assert launcher.requests == [] or launcher.phase is not LauncherPhase.CONNECTED
            assert set(launcher.workers) == {number for number, other in self.alive.items() if other == slot}
        if not state.is_ending:
            assert len(state.reservations) == len(self.groups)

    def check_worker(self, number: int) -> None:
        worker = self.state.workers[number]
        launcher = self.state.launchers[worker.launcher]
        waits = worker.phase in (WorkerPhase.PLACED, WorkerPhase.STARTING)
        has_deadline = number in self.state._workers.starting
        assert waits == has_deadline or (waits and launcher.group.needs_files and launcher.was_connected)
        if worker.phase is not WorkerPhase.PLACED:
            assert launcher.phase not in ENDED, "a worker whose launcher has ended has ended"
        if worker.parent >= 0:
            parent = self.state.workers.get(worker.parent)
            if parent is None or parent.is_over:
                assert worker.phase is not WorkerPhase.PLACED
                assert worker.signal == signal.SIGKILL, "what has lost its parent is being killed"

    def finish(self) -> None:
        """End all connections and launchers: no worker is left, and nothing but what has failed is kept."""
        for numbers, _ in self.requested:
            self.handle(stimuli.GroupRefused(numbers))
        self.requested.clear()
        for group in self.placed.values():
            self.handle(stimuli.StartRequested(group, None))
        for reservation in self.retained.copy():
            self.retained.discard(reservation)
            self.handle(stimuli.ReservationReleased(reservation))
        for slot in sorted(self.watched):
            if slot in self.links:
                self.links.discard(slot)
                self.handle(stimuli.ConnectionEnded(slot, "is lost"))
            if slot not in self.gone:
                self.gone.add(slot)
                self.handle(stimuli.EngineReported(LauncherState(slot, "gone", "ended", 0)))
        self.now += 1000
        self.handle(stimuli.DeadlineReached())
        assert self.alive == {}
        assert not self.state.workers
        assert not self.state.launchers
        assert self.state.next_deadline is None
        if not self.state.is_ending:
            assert len(self.groups) <= 16  # whose launchers have failed


OFTEN = [World.place, World.connect_launcher, World.send_files, World.connect_worker, World.expect, World.report]
OPERATIONS: list[Callable[[World, random.Random], None]] = [
    *OFTEN,
    *OFTEN,
    World.request,
    World.refuse,
    World.disconnect,
    World.report_engine,
    World.kill,
    World.fail_start,
    World.end_parent,
    World.retain,
    World.release,
    World.replace,
    World.wait,
]


@deep
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(5))
def test_long_random_histories(seed: int) -> None:
    rng = random.Random(seed)
    steps = 0
    while steps < repeats(5_000, 200_000):
        world = World()
        for _ in range(rng.choice([20, 100, 500])):
            if len(world.state.workers) < 25 or rng.random() < 0.3:
                world.request(rng)
            rng.choice(OPERATIONS)(world, rng)
            steps += 1
            if steps % 8 == 0:  # each action is checked anyway
                world.check_all()
        if rng.random() < 0.2:
            world.end(rng)
        world.finish()


class Histories(RuleBasedStateMachine):
    """The same operations in histories that hypothesis chooses, and makes shorter when one fails."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule(operation=st.sampled_from([World.end, *OPERATIONS]), rng=st.randoms())
    def operate(self, operation: Callable[[World, random.Random], None], rng: random.Random) -> None:
        operation(self.world, rng)

    @invariant()
    def is_sound(self) -> None:
        self.world.check_all()

    def teardown(self) -> None:
        self.world.finish()


@pytest.mark.slow
@deep
@pytest.mark.timeout(1200)
def test_short_histories() -> None:
    examples = repeats(12, 1000)
    run_state_machine_as_test(
        Histories, settings=settings(property_test, max_examples=examples, stateful_step_count=50)
    )


@pytest.mark.parametrize("launchers", [1, 2])
def test_a_group_is_stopped_once_all_of_its_launchers_are_lost(launchers: int) -> None:
    state = JobState(60.0, 3)
    numbers = state.number("m", launchers)
    group = WorkerGroup(WorkerSpec("m"), 0, launchers, tuple(Placement(number, number, 1) for number in numbers))
    state.handle(stimuli.GroupPlaced(group), 0.0)
    state.handle(stimuli.StartRequested(group, None), 0.0)
    for slot in numbers:
        state.handle(stimuli.LauncherConnected(slot), 0.0)
    for slot in numbers:
        actions = state.handle(stimuli.LauncherUnreachable(slot, "is lost"), 0.0)
        assert (stimuli.StopGroup(group) in actions) == (slot == launchers - 1)


def test_a_launcher_with_an_unexplained_end_is_stopped_before_its_workers_are_ended() -> None:
    state = JobState(60.0, 3)
    state.number("m", 1)
    group = WorkerGroup(WorkerSpec("m"), 0, 1, (Placement(0, 0, 1),))
    state.handle(stimuli.GroupPlaced(group), 0.0)
    state.handle(stimuli.StartRequested(group, None), 0.0)
    state.handle(stimuli.LauncherConnected(0), 0.0)
    state.handle(stimuli.ConnectionEnded(0, "is lost"), 0.0)
    deadline = state.next_deadline
    assert deadline is not None
    actions = state.handle(stimuli.DeadlineReached(), deadline)
    assert [type(action) for action in actions[:2]] == [stimuli.StopGroup, stimuli.FailStart]


def test_workers_begin_when_their_launcher_has_its_files_and_have_their_time_then() -> None:
    state = JobState(60.0, 3)
    state.number("m", 2)
    group = WorkerGroup(WorkerSpec("m", files=("data",)), 0, 2, (Placement(0, 0, 2),), needs_files=True)
    state.handle(stimuli.GroupPlaced(group), 0.0)
    state.handle(stimuli.StartRequested(group, None), 0.0)
    assert state.handle(stimuli.LauncherConnected(0), 10.0) == [stimuli.SendFiles(0, group.spec)]
    assert not state._workers.starting
    ended = state.handle(stimuli.KillRequested(1, signal.SIGKILL), 20.0)
    assert [type(action) for action in ended[:2]] == [stimuli.FailStart, stimuli.EndWorker]
    assert not state.can_replace(0, 0)
    actions = state.handle(stimuli.FilesSent(0), 100.0)
    assert [action.request for action in actions if isinstance(action, stimuli.SendRequest)] == [
        Start(0, 2, 0, 2, {}), Kill(1, signal.SIGKILL)
    ]  # fmt: skip
    assert [*state._workers.starting.values()] == [160.0]
    assert state.can_replace(0, 0)


def test_a_job_that_ends_starts_no_worker_without_its_files() -> None:
    state = JobState(60.0, 3)
    state.number("m", 2)
    group = WorkerGroup(WorkerSpec("m", files=("data",)), 0, 2, (Placement(0, 0, 1), Placement(1, 1, 1)), True)
    state.handle(stimuli.GroupPlaced(group), 0.0)
    state.handle(stimuli.StartRequested(group, None), 0.0)
    state.handle(stimuli.LauncherConnected(0), 0.0)
    end = Kill(ALL, signal.SIGTERM)
    assert state.handle(stimuli.JobEnding(), 0.0) == [stimuli.SendRequest(0, end)]
    assert state.handle(stimuli.FilesSent(0), 0.0) == []
    assert state.handle(stimuli.LauncherConnected(1), 0.0) == [stimuli.SendRequest(1, end)]
