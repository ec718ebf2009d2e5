"""Control connections: whatever comes on one, nothing but that connection is lost, and its peer is told why."""

import asyncio
import io
import itertools
import os
import signal
import socket
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aioparcs import (
    Address,
    Channel,
    EncodeError,
    ParcsError,
    Runner,
    Settings,
    StartError,
    Task,
    WorkerLost,
    broadcast,
    deadlines,
)
from aioparcs.auth import Hello, Role
from aioparcs.channel import CONTROL_BODY, FrameConnection, accept, introduce
from aioparcs.engine import Job, LauncherState, Placement, WorkerGroup, WorkerSpec
from aioparcs.errors import ConnectionLost, EndOfChannel, HandshakeError, ProtocolError
from aioparcs.events import Event, EventBus, Use, WorkerUsage
from aioparcs.launcher.agent.agent import LauncherAgent
from aioparcs.launcher.context import RunnerEndpoint
from aioparcs.launcher.process.call_records import make_records
from aioparcs.local import LocalEngine
from aioparcs.messages.launcher import (
    ALL,
    DATAGRAM_SIZE,
    Exited,
    Kill,
    Log,
    Start,
    read_datagram,
    read_launcher_report,
    to_datagram,
)
from aioparcs.runner.sampling import UsageSampler
from aioparcs.runner.state.stimuli import Action, EndWorker
from aioparcs.service.peer_endpoint import PeerEndpoint
from aioparcs.service.relay_receiver import RelayReceiver
from aioparcs.settings import CONTROL, FIRST_EXTENSIONS
from aioparcs.transport import dial, listen
from aioparcs.wire import HEADER_SIZE, FrameType, decode_header
from tests.support.channels import pair
from tests.support.jobs import EventRecorder, job
from tests.support.strategies import property_test
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.one_loop

START, STARTED, EXITED, KILL = FrameType.START, FrameType.STARTED, FrameType.EXITED, FrameType.KILL
LOG, PROGRESS, SPAWN, SPAWNED = FrameType.LOG, FrameType.PROGRESS, FrameType.SPAWN, FrameType.SPAWNED
FILES, STACK, USAGE, MEMORY = FrameType.FILES, FrameType.STACK, FrameType.USAGE, FrameType.MEMORY
ADDRESS = "tcp://127.0.0.1:1"

# What may come: anything, and what is almost right.
VALID: dict[FrameType, list[Any]] = {
    START: [0, 1, 0, 1, {"cpus": 1, "memory": 1 << 30}, ADDRESS],
    STARTED: [0, 4711],
    EXITED: [0, 0, ["a line"], b""],
    KILL: [0, 9],
    LOG: [[[0, "a line"]], 0],
    PROGRESS: [0, 1.0, 2.0],
    FILES: [1, None],
    STACK: [1, 0],
    USAGE: [[[0, 0.5, 4096]], [[0, 1]]],
    MEMORY: [1, 4096, [3, 4711]],
    SPAWN: [5, "x", 1, {"env": {"A": "b"}, "memory": "1g"}, ADDRESS],
    SPAWNED: [5],
}
CONTROL_TYPES = list(VALID)
OTHERS = [FrameType.MSG, FrameType.CALL, FrameType.RESULT, FrameType.RELAY, FrameType.BARRIER, FrameType.JSON]
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.sampled_from([0, 1, 9, 9.0, 15, -1, 1 << 31, 4_000_000_000, 1 << 63])
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.builds(msgpack.ExtType, st.integers(0, 8), st.binary(max_size=20))
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def frames(draw: st.DrawFn) -> tuple[int, bytes]:
    type = draw(st.sampled_from(CONTROL_TYPES * 3 + OTHERS))
    how = draw(st.sampled_from(["one field", "one field", "any list", "anything", "bytes"]))
    if how == "bytes":
        return type, draw(st.binary(max_size=40))
    values: Any = list(VALID.get(type, [0]))
    if how == "one field":
        values[draw(st.integers(0, len(values) - 1))] = draw(_values)
    else:
        values = draw(st.lists(_values, max_size=6) if how == "any list" else _values)
    return type, msgpack.packb(values)


def packed(type: FrameType, *values: Any) -> tuple[int, bytes]:
    return type, msgpack.packb(values)


class AbsentEngine(LocalEngine):
    """An engine whose launchers never run: the test connects in their place, each with one worker."""

    job: Job
    needs_files = False

    async def open(self, job: Job) -> None:
        self.job = job
        self.placements: list[Placement] = []

    async def start(self, spec: WorkerSpec, first: int, count: int) -> WorkerGroup:
        self.placements.append(Placement(len(self.placements), first, count))
        return WorkerGroup(spec, first, count, (self.placements[-1],), self.needs_files)

    async def states(self, group: WorkerGroup) -> AsyncIterator[LauncherState]:
        await asyncio.Event().wait()
        yield LauncherState(-1, "running")

    def poll_now(self) -> None: ...
    async def stop(self, group: WorkerGroup) -> None: ...
    async def release(self, group: WorkerGroup) -> None: ...
    async def aclose(self) -> None: ...

    async def connect(
        self, role: str, number: int, timeout: float = 10, **changes: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await dial(self.job.address, timeout=timeout)
        hello = Hello.of(role, self.job.id, number, Settings())._replace(**changes)
        try:
            await introduce(reader, writer, hello, self.job.token, 10)
        except HandshakeError:
            writer.transport.abort()
            raise
        return reader, writer


_requests = itertools.count(1 << 32)


class Member(NamedTuple):
    """A launcher and its worker, with the worker's two connections, as the runner knows them."""

    task: Task
    launcher: FrameConnection
    parent: FrameConnection
    channel: Channel

    async def is_served(self) -> bool:
        """Return whether the runner still serves the launcher; its answer comes after those to all earlier frames."""
        return await answered(self.launcher, packed(LOG, [], 0), LOG)

    async def is_parent_served(self) -> bool:
        """Return whether the runner still answers the worker's requests."""
        request, refused = next(_requests), {"unknown": 1}
        return await answered(self.parent, packed(SPAWN, request, "x", 1, refused, ADDRESS), SPAWNED)

    async def echoes(self) -> bool:
        await self.channel.send("a message")
        return bool(await self.task.recv() == "a message")

    def close(self) -> None:
        for link in (self.launcher, self.parent, self.channel):
            link.abort()


def started(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> FrameConnection:
    connection = FrameConnection(reader, writer)
    connection.start()
    return connection


async def answered(link: FrameConnection, frame: tuple[int, bytes], type: FrameType) -> bool:
    try:
        await link.send_frame(*frame)
        while (await link.recv_frame()).type != type:
            pass
    except (ConnectionLost, EndOfChannel):
        return False
    return True


class EndJob(Exception):
    """Ends a job at once: there are no workers to wait for."""


class Harness(NamedTuple):
    runner: Runner
    engine: AbsentEngine
    recorder: EventRecorder
    members: list[Member]

    async def member(self, *, control: int = CONTROL, **changes: Any) -> Member:
        """Start one more worker, and connect as its launcher and as itself, with changes to the worker's HELLO."""
        placements = self.engine.placements
        before = len(placements)  # a SPAWN that makes sense has started some, too
        starting = asyncio.ensure_future(self.runner.start("any")._start())
        await until(lambda: len(placements) > before)
        slot, worker, *_ = placements[before]
        launcher = started(*await self.engine.connect(Role.LAUNCHER, slot, control=control))
        channel = Channel(*await self.engine.connect(Role.WORKER, worker, **changes))
        parent = started(*await self.engine.connect(Role.PARENT, worker))
        self.members.append(Member(await starting, launcher, parent, channel))
        return self.members[-1]


@asynccontextmanager
async def harness(**options: Any) -> AsyncIterator[Harness]:
    """Enter a runner whose launchers and workers are the test itself."""
    engine, recorder = AbsentEngine([]), EventRecorder()
    with suppress(EndJob):
        async with job(engine=engine, recorder=recorder, close_timeout=0.2, **options) as runner:
            here = Harness(runner, engine, recorder, [])
            yield here
            for member in here.members:
                member.close()
            raise EndJob


@asynccontextmanager
async def two(**options: Any) -> AsyncIterator[tuple[Runner, Member, Member]]:
    async with harness(**options) as here:
        yield here.runner, await here.member(), await here.member()


def for_all_frames(
    check: Callable[[Harness, Member, int, bytes], Awaitable[None]], *frames_too: tuple[int, bytes]
) -> None:
    """Send any frame from a new launcher and its worker; another launcher and its worker must not be disturbed."""
    problems: list[Any] = []

    with asyncio.Runner() as loop:
        loop.get_loop().set_exception_handler(lambda _, context: problems.append(context))
        context = harness()
        here = loop.run(context.__aenter__())
        bystander = loop.run(here.member())

        async def try_out(frame: tuple[int, bytes]) -> None:
            here.recorder.notes.clear()
            await check(here, await here.member(), *frame)
            assert await bystander.is_served()
            assert await bystander.is_parent_served()
            assert await bystander.echoes()
            assert problems == []

        @given(frame=frames())
        @settings(property_test, max_examples=100)
        def any_frame(frame: tuple[int, bytes]) -> None:
            loop.run(try_out(frame))

        try:
            for frame in frames_too:
                loop.run(try_out(frame))
            any_frame()
        finally:
            loop.run(context.__aexit__(None, None, None))


@pytest.mark.slow
def test_invalid_frames_of_a_launcher_end_only_its_own_connection() -> None:
    async def check(here: Harness, one: Member, type: int, body: bytes) -> None:
        await one.launcher.send_frame(type, body)
        if not await one.is_served():
            one.channel.abort()
            lost = await one.task.handle.wait_exited()
            assert isinstance(lost, WorkerLost)
            assert lost.reason.startswith("is lost with its launcher: ")
            assert "frame" in lost.reason
            assert len(lost.reason) < 300
        assert all("of output w" in note for note in here.recorder.notes)

    for_all_frames(
        check,
        packed(EXITED, 1, 0.0, []),
        packed(EXITED, 1, None, []),
        packed(EXITED, 0, -9, ["of another's launcher"]),
        packed(LOG, [[0, "x" * 70_000]], 1 << 62),
        packed(PROGRESS, 6, float("nan"), float("inf")),
        (FrameType.MSG, b"\x01"),
    )


@pytest.mark.slow
def test_invalid_frames_of_a_service_end_only_its_own_connection() -> None:
    async def check(here: Harness, one: Member, type: int, body: bytes) -> None:
        await one.parent.send_frame(type, body)
        if not await one.is_parent_served():
            (note,) = here.recorder.notes
            assert note.startswith(f"worker {one.task.worker} broke its connection: ")
            assert len(note) < 300
        assert await one.echoes()
        assert await one.is_served()

    for_all_frames(
        check,
        packed(KILL, 0, 9.0),
        packed(SPAWN, 0, "x", 3, {}, ADDRESS),
        packed(SPAWN, 0, "x/y", 4_000_000_000, {}, ADDRESS),
        packed(SPAWN, 0, "x", 1, {}, ADDRESS * 7000),
        packed(SPAWN, 0, "x" * 70_000, 1, {}, ADDRESS),
        packed(SPAWN, 0, "x", 1, {"env": {"X": "y" * 1_000_000}}, "nowhere"),
        (SPAWN, b"\x91" * 900 + b"\x01"),
    )


async def refusal(engine: AbsentEngine, role: str, number: int) -> str:
    with pytest.raises(HandshakeError) as caught:
        await engine.connect(role, number)
    return str(caught.value)


async def test_a_second_connection_is_refused_with_the_state_of_the_first() -> None:
    async with harness() as here:
        one = await here.member()
        for role in (Role.LAUNCHER, Role.WORKER, Role.PARENT):
            assert await refusal(here.engine, role, 0) == f"refused: {role} 0 is already connected"
        one.parent.abort()
        await until(lambda: not here.runner._job.registry.sessions)
        assert "worker 0 may start no more workers" in await refusal(here.engine, Role.PARENT, 0)
        await one.launcher.send_frame(FrameType.MSG)
        await one.task.handle.wait_exited()
        assert await refusal(here.engine, Role.LAUNCHER, 0) == "refused: launcher 0 counts as lost"
        assert await refusal(here.engine, Role.WORKER, 0) == "refused: worker 0 has ended"
        assert await refusal(here.engine, Role.PARENT, 0) == "refused: unexpected parent 0"


async def test_a_service_that_expects_its_workers_too_late_gets_none_and_stays_connected() -> None:
    async with harness(start_timeout=2.0) as here:
        one = await here.member()
        session = here.runner._job.registry.sessions[0]
        assert await answered(one.parent, packed(SPAWN, 5, "x", 2, {}, ADDRESS), SPAWNED)
        assert list(session.placed) == [5]
        ends = 0
        while ends < 2:  # the time that they have to start is over
            ends += (await one.parent.recv_frame()).type == EXITED
        assert not session.placed
        await one.parent.send_frame(*packed(SPAWNED, 5))
        assert await one.is_parent_served()


async def test_an_error_at_the_end_of_a_launchers_connection_reaches_the_loop() -> None:
    errors: list[str] = []
    async with harness() as here:
        one = await here.member()
        supervisor: Any = here.runner._job.supervisor
        execute = supervisor._execute

        def fail(action: Action) -> None:
            execute(action)
            if isinstance(action, EndWorker):
                raise LookupError("an unexpected error")

        supervisor._execute = fail
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler()
        loop.set_exception_handler(lambda _, context: errors.append(repr(context["exception"])))
        await one.launcher.send_frame(FrameType.MSG)
        await one.task.handle.wait_exited()
        assert not await one.is_served(), "what follows the failed action is done all the same"
        await until(lambda: errors)
        loop.set_exception_handler(before)
    assert errors == ["LookupError('an unexpected error')"]


async def test_cancelling_many_starts_kills_all_workers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "KILL_REPORT", 60.0)
    async with harness() as here:
        many = here.runner.start_many("any", 2)
        starting = asyncio.ensure_future(many._start())
        await until(lambda: here.engine.placements)
        launcher = started(*await here.engine.connect(Role.LAUNCHER, 0))
        channel = Channel(*await here.engine.connect(Role.WORKER, 0))
        await until(lambda: many._tasks)
        starting.cancel()
        killed: set[int] = set()
        async with asyncio.timeout(PATIENCE):
            while killed != {0, 1}:  # the one that is connected doesn't wait for the end of the other
                frame = await launcher.recv_frame()
                if frame.type == KILL:
                    killed.add(msgpack.unpackb(frame.body)[0])
        for worker in killed:
            launcher.post_frame(*packed(EXITED, worker, -9, [], b""))
        await asyncio.wait([starting])
        assert starting.cancelled()
        launcher.abort()
        channel.abort()


async def wait_for_goodbye(reader: asyncio.StreamReader) -> None:
    type = -1
    while type != FrameType.BYE:
        type, _, size = decode_header(await reader.readexactly(HEADER_SIZE))
        await reader.readexactly(size)


async def test_a_launcher_that_connects_while_the_runner_leaves_is_not_kept() -> None:
    engine = AbsentEngine([])
    writers: list[asyncio.StreamWriter] = []

    async def connect_in_turn() -> None:
        for slot in range(3):  # the first is there, the second comes at the end of the job, and the third after that
            reader, writer = await engine.connect(Role.LAUNCHER, slot, timeout=0.1)
            writers.append(writer)
            first.set()
            if slot < 2:
                await wait_for_goodbye(reader)  # and give none, so that there is time for the next one

    first = asyncio.Event()
    with suppress(EndJob):
        async with job(engine=engine, close_timeout=0.1) as runner:
            starting = [asyncio.ensure_future(runner.start("any")._start()) for _ in range(3)]
            await until(lambda: len(engine.placements) == 3)
            coming = asyncio.ensure_future(connect_in_turn())
            await first.wait()
            raise EndJob
    assert all(isinstance(one, StartError) for one in await asyncio.gather(*starting, return_exceptions=True))
    with pytest.raises(ConnectionLost):
        await coming
    assert len(writers) == 2
    for writer in writers:
        writer.transport.abort()


# What a launcher makes of what its runner sends


class Fork(NamedTuple):
    """A launcher's agent, its runner's end of the connection, and the end of its fork server."""

    running: asyncio.Task[None]
    runner: FrameConnection
    server: socket.socket

    async def requests(self) -> list[Any]:
        """Send one more request, and take all that the fork server gets until that comes or there is an end."""
        with suppress(ParcsError):
            await self.runner.send_frame(*packed(KILL, 77, 15))
        found: list[Any] = []
        loop = asyncio.get_running_loop()
        while True:
            taking = asyncio.ensure_future(loop.sock_recv(self.server, 10 * DATAGRAM_SIZE))
            await asyncio.wait([taking, self.running], return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():
                taking.cancel()
                await asyncio.wait([taking])
                return found
            assert len(taking.result()) <= DATAGRAM_SIZE
            request = read_datagram(taking.result())
            if request == Kill(77, 15):
                return found
            found.append(request)


@asynccontextmanager
async def forking() -> AsyncIterator[Fork]:
    came: asyncio.Future[FrameConnection] = asyncio.get_running_loop().create_future()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(reader, writer, Hello.of(Role.RUNNER, "job", -1, Settings()), bytes(32), 10, lambda _: None)
        came.set_result(started(reader, writer))

    listener = await listen(Address("unix", "@"), take)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reading, writing = os.pipe()
    ours.setblocking(False)
    endpoint = RunnerEndpoint(listener.address, "job", 0, bytes(32), None)
    records = make_records()
    running = asyncio.ensure_future(LauncherAgent(endpoint, Settings(), theirs, reading, records).run())
    try:
        yield Fork(running, await came, ours)
    finally:
        (await came).abort()
        await asyncio.gather(running, return_exceptions=True)
        await listener.aclose()
        ours.close()
        theirs.close()
        for descriptor in (reading, writing, records):
            os.close(descriptor)


def is_sound(request: Any) -> bool:
    """Return whether the fork server can do what it is asked."""
    if isinstance(request, Kill):
        return list(map(type, request)) == [int, int] and 0 < request.signal < 65
    assert isinstance(request, Start)
    *numbers, limits, parent = request
    assert request.workers <= 1 << 16
    assert set(limits) <= {"cpus", "memory"}
    return list(map(type, numbers)) == [int] * 4 and (parent is None or len(parent) <= 1000)


async def test_the_launchers_end_waits_for_no_worker_without_a_fork_server() -> None:
    async with forking() as (_, link, control), asyncio.timeout(PATIENCE):
        for type, body in packed(START, 0, 1, 0, 1, {}, None), packed(KILL, -1, signal.SIGTERM):
            link.post_frame(type, body)
        loop = asyncio.get_running_loop()
        requests = [read_datagram(await loop.sock_recv(control, DATAGRAM_SIZE)) for _ in range(2)]
        assert requests == [Start(0, 1, 0, 1, {}), Kill(ALL, signal.SIGTERM)]
        control.shutdown(socket.SHUT_WR)
        with suppress(EndOfChannel):
            while await link.recv_frame():
                link.post_frame(*packed(LOG))


@pytest.mark.slow
@given(frame=frames())
@settings(property_test, max_examples=100)
@example(frame=packed(START, 0, 4_000_000_000, 0, 1, {}, None))
@example(frame=packed(START, 0, 2, 0, 2, {"memory": 1 << 63}, None))
@example(frame=packed(START, 0, 2, 0, 2, {}, "x" * 70_000))
@example(frame=packed(KILL, 0, 9.0))
@example(frame=(FrameType.MSG, b"\x01"))
async def test_a_launcher_forwards_only_valid_requests_of_its_runner(frame: tuple[int, bytes]) -> None:
    async with forking() as fork:
        await fork.runner.send_frame(*frame)
        assert all(map(is_sound, await fork.requests()))
        if fork.running.done():
            assert isinstance(fork.running.exception(), ProtocolError)


async def test_a_start_request_may_lack_a_parent() -> None:
    async with forking() as fork:
        await fork.runner.send_frame(*packed(START, 4, 2, 0, 8, {}))
        assert await fork.requests() == [Start(4, 2, 0, 8, {})]


async def test_results_of_any_size_reach_the_runner() -> None:
    async with forking() as fork, asyncio.timeout(PATIENCE):
        await fork.runner.send_frame(*packed(START, 4, 1, 4, 1, {}))
        assert len(await fork.requests()) == 1
        exited = Exited(4, -9, [], b"r" * 16_000)
        await asyncio.get_running_loop().sock_sendall(fork.server, to_datagram(exited))
        while (report := read_launcher_report(await fork.runner.recv_frame())) != exited:
            assert isinstance(report, Log)


# What a worker makes of what is said of relayed messages


@pytest.mark.parametrize("news", [["nonsense", 1], ["from", "nowhere"], ["from", [1]], ["release", 1], [7]])
async def test_an_invalid_relay_frame_is_an_error_in_its_place(news: list[Any]) -> None:
    endpoint = RunnerEndpoint(Address("unix", "@absent"), "job", 0, bytes(32), None)
    async with pair("unix") as (origin, worker):
        relays = RelayReceiver(worker, PeerEndpoint(endpoint, Settings(connect_timeout=0.1), 3), endpoint.address)
        for values in (["message", False, False, msgpack.packb("not this way"), []], news):
            origin.connection.post_frame(FrameType.RELAY, msgpack.packb([b"name", *values]))
        await origin.send("the next one")
        with pytest.raises(ParcsError, match="an unexpected RELAY frame"):
            await worker.recv()
        assert await worker.recv() == "the next one"
        await until(lambda: not relays._running)


# Floods


@pytest.mark.slow
async def test_unread_acknowledgements_do_not_pile_up() -> None:
    async with two(send_queue=10_000) as (runner, one, other):
        one.launcher.transport.pause_reading()
        link = runner._job.registry.launchers[0]._connection
        for _ in range(60_000):
            one.launcher.post_frame(*packed(LOG, [], 0))
        await until(lambda: link.outbox.full)
        for _ in range(50):
            assert await other.is_served()
        assert link.outbox.size < 100_000  # all acknowledgements would be 480,000 bytes


async def test_the_loop_runs_while_many_small_control_frames_arrive() -> None:
    async with two() as (_, one, _):
        turns = 0

        def turn() -> None:
            nonlocal turns
            turns += 1
            asyncio.get_running_loop().call_soon(turn)

        for _ in range(640):
            one.launcher.post_frame(*packed(PROGRESS, 0, 1.0, 2.0))
        turn()
        assert await one.is_served()
        assert turns >= 10


async def test_a_body_that_is_too_large_ends_its_connection() -> None:
    async with two() as (_, one, other):
        one.channel.abort()
        await one.launcher.send_frame(LOG, bytes(CONTROL_BODY + 1))
        lost = await one.task.handle.wait_exited()
        assert lost
        assert lost.reason.startswith("is lost with its launcher: a frame announces a body of 1,048,577 bytes")
        assert await other.is_served()


@pytest.mark.parametrize("lines", [["x" * 100_000] * 100, ["x"] * 1000])
async def test_last_lines_are_few(lines: list[str]) -> None:
    async with two(last_lines=3) as (_, one, _):
        one.channel.abort()
        await one.launcher.send_frame(*packed(EXITED, 0, -9, lines[:9] if len(lines[0]) > 1 else lines))
        lost = await one.task.handle.wait_exited()
        assert lost
        assert (len(lost.last_lines), max(map(len, lost.last_lines)) <= 8192) == (4, True)


# Workers of an older aioparcs


async def test_a_worker_that_knows_the_first_extensions_only_gets_no_others() -> None:
    async with harness() as here:
        task, _, _, channel = await here.member(extensions=FIRST_EXTENSIONS)
        await task.send((1, [(2, 3)]))
        assert await channel.recv() == [1, [[2, 3]]]
        with pytest.raises(EncodeError, match=r"\$\.a: set cannot be sent"):
            await task.send({"a": {1}})
        calling = asyncio.ensure_future(task.call("f", (1, (2,))))
        call = await channel.call_server.recv_call()
        assert call.args == [[1, [2]]]
        await channel.call_server.send_result(call.id, True, None)
        await calling
        await broadcast([task], [(4, 5)])
        assert await channel.recv() == [[4, 5]]


# Usage


@pytest.mark.parametrize("control", [FrameType.STACK, FrameType.USAGE])
async def test_only_a_launcher_that_knows_the_frame_gets_a_request_for_usage(control: int) -> None:
    async with harness() as here:
        events, answers = EventBus(), list[Event]()
        events.subscribe(answers.append)
        one, knows = await here.member(control=control), control == USAGE
        sampler = UsageSampler(here.runner._job.registry, events)
        for _ in range(3):
            sampler.ask()  # once, since there is no answer
        assert (await one.launcher.recv_frame()).type == START
        for cpu in 0.5, 0.6:  # the second is an answer to nothing
            await one.launcher.send_frame(*packed(USAGE, [[0, cpu, 4096]], []))
        await one.launcher.send_frame(*packed(LOG, [], 0))
        frames = [(await one.launcher.recv_frame()).type]
        while frames[-1] != LOG:
            frames.append((await one.launcher.recv_frame()).type)
        assert frames == [USAGE] * knows + [LOG]
        assert [event.usages for event in answers if isinstance(event, WorkerUsage)] == [(Use(0, 0.5, 4096),)] * knows


# Files


@asynccontextmanager
async def starting_with_files(**changes: Any) -> AsyncIterator[tuple[FrameConnection, asyncio.Future[Task]]]:
    """Start a worker that needs a file, and connect as its launcher, with changes to its HELLO."""
    async with harness() as here:
        here.engine.needs_files = True
        starting = asyncio.ensure_future(here.runner.start("any", files=["setup.cfg"])._start())
        await until(lambda: here.engine.placements)
        launcher = started(*await here.engine.connect(Role.LAUNCHER, 0, **changes))
        yield launcher, starting
        launcher.abort()


async def test_a_launcher_of_an_earlier_version_is_sent_no_files() -> None:
    async with starting_with_files(files=False) as (launcher, starting):
        reason = "did not get its files: its launcher is of an earlier aioparcs, which takes no files; build its image"
        with pytest.raises(StartError, match=reason):
            await starting
        with pytest.raises((ConnectionLost, EndOfChannel)):
            await launcher.recv_frame()


async def test_a_launcher_that_takes_no_files_is_sent_no_more_and_a_worker_begins_behind_them() -> None:
    async with starting_with_files() as (launcher, starting):
        pieces: list[bytes] = []
        while not pieces or pieces[-1]:
            frame = await launcher.recv_frame()
            assert frame.type == FILES
            pieces += msgpack.unpackb(frame.body)
        await launcher.send_frame(*packed(FILES, len(pieces) - 1))
        assert not starting.done()
        await launcher.send_frame(*packed(FILES, len(pieces)))
        assert (await launcher.recv_frame()).type == START
        launcher.abort()
        with pytest.raises(StartError):
            await starting
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        assert tar.getnames() == ["setup.cfg", ".aioparcs-sent"]


async def test_a_launchers_reason_for_taking_no_files_is_that_of_the_start() -> None:
    async with starting_with_files() as (launcher, starting):
        await launcher.send_frame(*packed(FILES, 0, "no room for them"))
        with pytest.raises(StartError, match="it did not get its files: no room for them"):
            await starting


async def test_a_runner_that_sends_more_files_than_a_launcher_has_room_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with forking() as (running, link, _), asyncio.timeout(PATIENCE):
        for _ in range(100):
            link.post_frame(*packed(FILES, b"x"))
        with pytest.raises(ProtocolError, match="a runner sends at most 8 pieces of files ahead"):
            await running
    assert os.listdir(tmp_path) == []
