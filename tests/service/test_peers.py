"""Channels straight from worker to worker: rings, pipelines, and what happens to one when the other ends."""

import asyncio
import os
import shutil
from typing import Any

import pytest

from aioparcs import Address, HandshakeError, RemoteError, SettingError, Task, WorkerLost
from aioparcs.auth import Hello, Role
from aioparcs.channel import introduce
from aioparcs.engine import Job, WorkerGroup, WorkerSpec
from aioparcs.local import LocalEngine
from aioparcs.service import Service
from aioparcs.settings import KIB, Settings
from aioparcs.transport import dial
from tests.support.engines import CommandEngine, Network
from tests.support.jobs import MODULES, EventRecorder, job
from tests.support.transports import enter, kinds, over_tcp
from tests.support.waiting import until

pytestmark = pytest.mark.one_loop


async def ask(task: Task, *request: Any) -> Any:
    await task.send(list(request))
    return await task.recv()


async def addresses(tasks: list[Task]) -> list[Address]:
    return [*await asyncio.gather(*(ask(task, "where") for task in tasks))]


async def connected(here: Task, there: Task) -> None:
    """Connect one worker to another."""
    assert await ask(here, "dial", await ask(there, "where")) == there.worker
    assert await ask(there, "accept_peer") == here.worker


@pytest.mark.slow
@kinds
async def test_a_token_goes_round_a_ring(kind: str) -> None:
    size, laps = 20, 5
    async with enter(kind) as runner, runner.start_many("peers", size) as tasks:
        places = await addresses(tasks)
        assert [place.worker for place in places] == [task.worker for task in tasks]
        assert all(bool(place.fingerprint) == ("tls" in kind) for place in places)
        assert len({place.fingerprint for place in places}) == (size if "tls" in kind else 1)
        for task in tasks:
            await task.send(["ring", places[(task.rank + 1) % size], laps])
        ends = await asyncio.gather(*(task.recv() for task in tasks))
        assert ends[0][0] == size * laps
        numbers = [task.worker for task in tasks]
        assert [end[1:] for end in ends] == [[numbers[i - 1], numbers[(i + 1) % size]] for i in range(size)]


@pytest.mark.slow
@kinds
async def test_a_slow_last_stage_stalls_the_first_of_a_pipeline(kind: str) -> None:
    count, size, queue = 4000, 32 * KIB, 256 * KIB
    async with (
        enter(kind, send_queue=queue, receive_queue=queue) as runner,
        runner.start_many("peers", 5) as (first, *relays, last),
    ):
        places = await addresses([*relays, last])
        taking = asyncio.ensure_future(ask(last, "accept_peer"))
        for task, place in zip(relays, places[1:], strict=True):
            await task.send(["relay", place])
        await first.send(["produce", places[0], count, size])
        await taking
        counts: list[Any] = []
        while counts[-20:].count(counts[-1] if counts else None) < 20:  # until nothing moves
            counts.append(await asyncio.gather(*(ask(task, "count") for task in [first, *relays, last])))
        for sent, *held in counts[-1]:
            assert sent < count
            for unsent, unread in held:
                assert unsent <= queue + size + KIB
                assert unread <= 2 * queue + size + KIB  # what one chunk from the kernel brings may go beyond
        assert counts[-1][0][0] > 0, "the first has begun"
        await last.send(["consume"])
        for task in [first, *relays]:
            assert await ask(task, "wait") == count
        assert await last.recv() == [count, True]


@pytest.mark.slow
@kinds
async def test_two_that_dial_each_other_have_two_channels(kind: str) -> None:
    async with enter(kind) as runner, runner.start_many("peers", 2) as tasks:
        places = await addresses(tasks)
        others = zip(tasks, reversed(places), strict=True)
        assert await asyncio.gather(*(ask(task, "dial", place) for task, place in others)) == [1, 0]
        await asyncio.gather(*(task.send(["send_to_peer", f"from {task.worker}"]) for task in tasks))
        assert await asyncio.gather(*(ask(task, "accept_peer") for task in tasks)) == [1, 0]
        assert await asyncio.gather(*(ask(task, "recv_from_peer") for task in tasks)) == ["from 1", "from 0"]


async def test_a_worker_may_dial_itself() -> None:
    async with job() as runner, runner.start("peers") as task:
        await connected(task, task)


async def test_an_address_survives_any_number_of_workers() -> None:
    async with job() as runner, runner.start_many("peers", 4) as tasks:
        place = await ask(tasks[0], "where")
        for here, there in ((tasks[1], tasks[2]), (tasks[2], tasks[3])):
            await connected(here, there)
            await here.send(["send_to_peer", {"home": [place]}])
            received = await ask(there, "recv_from_peer")
            assert received == {"home": [place]}
            (place,) = received["home"]
        assert isinstance(place, Address)
        assert await ask(tasks[3], "dial", place) == tasks[0].worker
        assert await ask(tasks[0], "accept_peer") == tasks[3].worker


# Ends


@pytest.mark.slow
@kinds
async def test_a_peers_last_message_arrives_and_then_the_end(kind: str) -> None:
    async with enter(kind) as runner, runner.start_many("peers", 2) as (here, there):
        await connected(here, there)
        await here.send(["leave", b"x" * (2 << 20)])
        assert await ask(there, "recv_from_peer") == b"x" * (2 << 20)
        assert await ask(there, "recv_from_peer") == ["EndOfChannel", "worker 0 has ended the channel"]


@pytest.mark.slow
@kinds
async def test_the_loss_of_a_peer_names_it(kind: str) -> None:
    async with enter(kind) as runner:
        here, there = await runner.start_many("peers", 2)
        await connected(here, there)
        await here.send(["die"])
        error, text = await ask(there, "recv_from_peer")
        assert error == "ConnectionLost"
        assert "worker 0" in text
        with pytest.raises(WorkerLost):
            await here.recv()


async def test_a_failing_program_aborts_its_channels() -> None:
    async with job() as runner:
        here, there = await runner.start_many("peers", 2)
        await connected(here, there)
        await here.send(["fail"])
        error, text = await ask(there, "recv_from_peer")
        assert error == "ConnectionLost"
        assert "worker 0" in text
        with pytest.raises(RemoteError, match="failed"):
            await here.recv()


@pytest.mark.slow
@kinds
async def test_a_peer_that_has_ended_cannot_be_dialled(kind: str) -> None:
    async with enter(kind, connect_timeout=1.0) as runner:
        here, there = await runner.start_many("peers", 2)
        place = await ask(there, "where")
        await there.shutdown()
        error, text = await ask(here, "dial", place)
        assert error == "ConnectionLost"
        assert text.startswith("worker 1 is gone, or can't be reached from here: can't connect to ")
        assert "within 1 s: Connection refused" in text
        _, text = await ask(here, "dial", place, 0.1)
        assert "within 0.1 s" in text


async def test_a_peer_with_the_address_of_another_is_refused() -> None:
    async with over_tcp(tls=False) as runner:
        here, there = await runner.start_many("peers", 2)
        place = await ask(there, "where")
        error, text = await ask(here, "dial", place._replace(worker=7))
        assert error == "HandshakeError"
        assert text == f"worker 7 at {place._replace(worker=7)}: worker 1 listens there now"


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("tc"),
    reason="a network namespace needs root, ip and tc",
)
async def test_a_peer_on_an_unreachable_host_is_lost() -> None:
    with Network() as network:

        class Both(CommandEngine):
            """Each other launcher is on the other host."""

            async def start(self, spec: WorkerSpec, first: int, count: int) -> WorkerGroup:
                self._command = network.command if len(self.processes) % 2 else ()
                return await super().start(spec, first, count)

        engine = Both(address=network.address)
        async with job(engine=engine, liveness=1.0) as runner:
            here, there = await runner.start("peers"), await runner.start("peers")
            await connected(here, there)
            assert (await ask(there, "where")).host == network.far
            await here.send(["recv_from_peer"])
            await asyncio.to_thread(network.cut)
            text = "the host of worker 1 was silent for 1 s (PARCS_LIVENESS)"
            assert await here.recv() == ["ConnectionLost", text]


async def test_a_peer_endpoint_opens_no_descriptor_before_its_first_use() -> None:
    async with job() as runner, runner.start("peers") as task:
        before = await ask(task, "descriptors")
        await ask(task, "where")
        await ask(task, "where")
        assert await ask(task, "descriptors") == before + 1


# Unauthenticated connections


class ExposedEngine(LocalEngine):
    """The local engine, which shows its job: the address and the token."""

    job: Job

    async def open(self, job: Job) -> None:
        self.job = job
        await super().open(job)


async def test_each_unauthenticated_connection_to_a_peer_endpoint_has_one_line() -> None:
    recorder, engine = EventRecorder(), ExposedEngine([MODULES])
    async with job(engine=engine, recorder=recorder) as runner, runner.start_many("peers", 2) as tasks:
        place, secret, name = await ask(tasks[0], "where"), engine.job.token, engine.job.id
        for count, (role, job_name, worker, token, reason) in enumerate(
            (
                (Role.PEER, name, 1, bytes(32), "the job's token is another one"),
                (Role.PEER, "other", 1, secret, f"this is job {name}, not 'other'"),
                (Role.WORKER, name, 1, secret, "unexpected worker 1"),
                (Role.RUNNER, name, -1, secret, "unexpected runner -1"),
            ),
            start=1,
        ):
            reader, writer = await dial(place)
            with pytest.raises(HandshakeError, match=reason):
                await introduce(reader, writer, Hello.of(role, job_name, worker, Settings()), token, 10)
            writer.close()
            await writer.wait_closed()
            line = f"refused a connection ({count} so far): {reason}"
            await until(lambda line=line: line in recorder.lines.get(0, ()))  # type: ignore[misc]  # mypy#6123
        reader, writer = await dial(place)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        await connected(tasks[1], tasks[0])
        assert len(recorder.lines[0]) == 5


async def test_the_original_runner_has_no_peers() -> None:
    service = Service()
    service._endpoint = None
    with pytest.raises(SettingError, match="original PARCS"):
        await service.listen()
