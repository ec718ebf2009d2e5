"""Arrays between real processes: workers of pools and collectives, killed ones, and those that can't map."""

import asyncio
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aioparcs import Address, Channel, ParcsError, Settings, WorkerLost, broadcast, gather
from aioparcs.auth import Hello, Role
from aioparcs.channel import Acceptor
from aioparcs.transport import listen
from tests.support.jobs import ENVIRONMENT, MODULES, job, module
from tests.support.sharing import filled, is_mapped, memory_of
from tests.support.waiting import until

pytestmark = [pytest.mark.one_loop]


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Keep the garbage collector from running."""
    gc.disable()
    yield
    gc.enable()


SIZE = 1 << 18

as_root = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare")


@pytest.mark.slow
async def test_items_and_results_of_a_pool_are_mapped() -> None:
    array = filled(SIZE)
    async with job() as runner, runner.pool("arrays", 2) as pool:
        found = await pool.map([array] * 8)
        assert {(total, writeable) for _, total, writeable, _ in found} == {(float(array.sum()), True)}
        assert {place for place, *_ in found} == {array.base.parts[0].inode}
        results = await pool.map([array] * 4, function="doubled")
        for result in results:
            assert is_mapped(result)
            assert np.array_equal(result, array * 2)
        (ordinary,) = await pool.map([array * 1], function="same")
        assert not is_mapped(ordinary)
        assert np.array_equal(ordinary, array)


@pytest.mark.parametrize("kind", ["ordinary", "shared"])
@pytest.mark.slow
async def test_constants_of_a_pool_are_in_memory_once(kind: str) -> None:
    array = filled(SIZE)
    if kind == "ordinary":
        array = array * 1
    async with job() as runner, runner.pool("arrays", 4, setup={"array": array, "text": "x"}) as pool:
        found = await pool.map(range(16), function="where_constant")
        assert {(total, writeable) for _, total, writeable, _ in found} == {(float(array.sum()), True)}
        assert len({place for place, *_ in found}) == 1
        assert found[0][0] > 0
        assert len(memory_of()) == (kind == "shared")  # the copy was released when all had mapped it
        await pool.resize(5)
        places = await pool.map(range(100), function="where_constant")
        assert {total for _, total, *_ in places} == {float(array.sum())}
    assert array.flags.writeable is (kind == "ordinary")


@pytest.mark.usefixtures("uncollected")
@pytest.mark.slow
async def test_constants_of_workers_that_fail_are_released_at_once() -> None:
    setup = {"array": np.ones(SIZE), "refused": True}
    async with job() as runner, runner.pool("arrays", 1):
        with pytest.raises(ValueError, match="refused") as caught:
            await runner.pool("arrays", 4, setup=setup).__aenter__()
        assert not memory_of(), "although the error is there"
        assert caught.traceback
        starting = asyncio.ensure_future(runner.pool("arrays", 4, setup=setup | {"refused": "late"}).__aenter__())
        await until(memory_of)
        starting.cancel()
        await asyncio.wait([starting])
        assert not memory_of()
        async with runner.pool("arrays", (0, 4), setup=setup) as pool:
            with pytest.raises(ParcsError):
                await pool.map(range(20), function="pid")
            assert not memory_of()


@pytest.mark.slow
async def test_a_broadcast_is_in_memory_once() -> None:
    async with job() as runner, runner.start_many("chorus", 4) as tasks:
        await asyncio.gather(*(task.send(["place"]) for task in tasks))
        array = np.random.default_rng(3).random(SIZE)
        await broadcast(tasks, {"array": array, "bytes": array.tobytes()})
        assert not memory_of()
        answers = await gather(tasks)
        assert len({place for place, _ in answers}) == 1
        assert answers[0][0] > 0
        assert all(total == float(array.sum()) for _, total in answers)


async def test_each_worker_has_its_own_of_an_array_made_before_the_fork(tmp_path: Path) -> None:
    program = (
        "import os, time\nfrom aioparcs import serve, shared_array\narray = shared_array(1 << 18)\n"
        "def fill(folder, number):\n    array[:] = number\n    open(f'{folder}/{number}', 'x')\n"
        "    while len(os.listdir(folder)) < 3: time.sleep(0.01)\n    return array\nserve(fill)"
    )
    together = tmp_path / "together"
    together.mkdir()
    module(tmp_path, "filling", program)
    async with job(tmp_path) as runner, runner.pool("filling", 3) as pool:
        results = await pool.starmap([(str(together), number) for number in range(3)])
        assert [(result.min(), result.max()) for result in results] == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.slow
async def test_a_call_is_repeated_with_its_array(tmp_path: Path) -> None:
    array = filled(SIZE)
    async with job() as runner, runner.pool("arrays", 1, retries=1) as pool:
        ((_, total, *_),) = await pool.starmap([(str(tmp_path / "died"), array)], function="die_once")
        assert total == float(array.sum())


@pytest.mark.slow
async def test_workers_exchange_arrays() -> None:
    async with job() as runner, runner.start_many("exchange", 2) as (giver, taker):
        await taker.send(["take"])
        await giver.send(["give", await taker.recv()])
        total, _ = await giver.recv()
        assert total == float(np.arange(SIZE).sum())


# Deaths


@pytest.mark.slow
async def test_nothing_is_left_of_what_a_killed_worker_had_mapped_or_lent() -> None:
    array = filled(SIZE)
    async with job() as runner:
        with suppress(WorkerLost):
            async with runner.pool("arrays", 1) as pool:
                (worker,) = await pool.map([array], function="keep")
                (result,) = await pool.map([array], function="doubled")
                os.kill(worker, signal.SIGKILL)
                with pytest.raises(WorkerLost):
                    await pool.map([array] * 3, function="keep")
        assert is_mapped(result)
        assert np.array_equal(result, array * 2)  # its worker is gone
        assert len(memory_of()) == 1  # the item


@pytest.mark.slow
async def test_a_killed_runner_leaves_nothing(tmp_path: Path) -> None:
    program = tmp_path / "main.py"
    program.write_text(
        "import asyncio, os\nfrom aioparcs import Runner, run, shared_array\n"
        "async def main(runner: Runner) -> None:\n"
        "    array = shared_array(1 << 22)\n    array[:] = 1\n"
        "    async with runner.pool('arrays', 2, setup={'array': array}) as pool:\n"
        "        print(*await pool.map(range(2), function='pid'), flush=True)\n"
        "        await asyncio.sleep(100)\n"
        "run(main)\n"
    )
    environment = ENVIRONMENT | {"PARCS_MODULES": str(MODULES)}
    process = await asyncio.create_subprocess_exec(sys.executable, program, env=environment, stdout=subprocess.PIPE)
    assert process.stdout
    workers = [int(pid) for pid in (await process.stdout.readline()).split()]
    process.kill()
    await process.communicate()
    await until(lambda: not any(os.path.exists(f"/proc/{worker}") for worker in workers))


# Those that can't map


PROGRAM = """
import asyncio, json
import numpy as np
from aioparcs import Runner, run, shared_array

async def main(runner: Runner) -> None:
    array = shared_array(1 << 18)
    array[:] = np.arange(1 << 18)
    async with runner.pool('arrays', 2, setup={'array': np.arange(float(1 << 18))}) as pool:
        found = await pool.map([array] * 20)
        constants = await pool.map(range(2), function='where_constant')
        results = await pool.map([array] * 2, function='doubled')
    right = sum(map(np.sum, results)) == 4 * array.sum()
    print(json.dumps([[place > 0 for place, *_ in found + constants], bool(right)]))

run(main)
"""


def execute(tmp_path: Path, *before: str, modules: Path = MODULES) -> Any:
    (tmp_path / "main.py").write_text(PROGRAM)
    command = [*before, sys.executable, str(tmp_path / "main.py")]
    environment = ENVIRONMENT | {"PARCS_MODULES": str(modules), "PARCS_HISTORY": "off"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@as_root
@pytest.mark.slow
def test_a_full_dev_shm_changes_nothing(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=4k none /dev/shm; head -c 4096 /dev/zero > /dev/shm/full; exec "$@"'
    assert execute(tmp_path, "unshare", "-m", "sh", "-c", script, "sh") == [[True] * 22, True]


@pytest.mark.slow
def test_little_memory_for_descriptors_changes_nothing(tmp_path: Path) -> None:
    assert execute(tmp_path, "sh", "-c", 'ulimit -n 64; exec "$@"', "sh") == [[True] * 22, True]


@pytest.mark.slow
def test_fresh_interpreters_map_too(tmp_path: Path) -> None:
    text = (MODULES / "arrays" / "main.py").read_text()
    head, _, _ = text.partition("if __name__")
    text = head + "serve(where, setup, where_constant, doubled, fork=False)"
    assert execute(tmp_path, modules=module(tmp_path / "modules", "arrays", text)) == [[True] * 22, True]


OUTSIDER = """
import asyncio, os, sys
import numpy as np
from aioparcs import Address, Settings
from aioparcs.auth import Hello, Role
from aioparcs.channel import Channel, reach

async def main(address: str, token: str, user: int) -> None:
    if user:
        os.setuid(user)
    settings = Settings()
    hello = Hello.of(Role.WORKER, "job", 0, settings)
    reader, writer, peer = await reach(Address.parse(address), hello, bytes.fromhex(token), settings)
    channel = Channel(reader, writer)
    channel.connection.reader.share_memory(peer.memory)
    await channel.send("ready")
    async for array in channel:
        maps = open("/proc/self/maps").read().count("memfd:aioparcs")
        await channel.send([float(array.sum()), maps])
    await channel.aclose()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


class Policy:
    """Lets all peers in that know the token."""

    def refusal_reason(self, peer: Hello) -> str | None:
        return None

    def is_ending(self, peer: Hello) -> bool:
        return False

    def trace_context(self, peer: Hello) -> None:
        return None

    def report(self, line: str) -> None:
        pytest.fail(line)


@pytest.mark.parametrize(
    "before, user, is_near",
    [
        pytest.param((), 0, True, id="this user"),
        pytest.param((), 65534, False, id="another user", marks=as_root),
        pytest.param(("unshare", "--pid", "--fork", "--mount-proc"), 0, False, id="other processes", marks=as_root),
    ],
)
@pytest.mark.slow
async def test_another_process_maps_only_if_it_can(before: tuple[str, ...], user: int, is_near: bool) -> None:
    accepted: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()
    token, settings = os.urandom(32), Settings()
    acceptor = Acceptor(Role.RUNNER, "job", -1, token, settings, Policy())

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = await acceptor.accept(reader, writer)
        assert peer is not None
        channel = Channel(reader, writer)
        channel.connection.reader.share_memory(peer.memory)
        accepted.set_result(channel)

    listener = await listen(Address("unix", "@"), receive)
    command = [*before, sys.executable, "-c", OUTSIDER, str(listener.address), token.hex(), str(user)]
    process = await asyncio.create_subprocess_exec(*command, env=ENVIRONMENT)
    async with await accepted as channel:
        assert await channel.recv() == "ready"
        for seed in range(2):
            await channel.send(filled(SIZE, seed))
            total, maps = await channel.recv()
            assert total == float(filled(SIZE, seed).sum())
            assert (maps > 0) is is_near
    assert await process.wait() == 0
    await listener.aclose()
