"""The launcher: what its module loads is loaded once and shared, and what can't be forked is refused."""

import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from aioparcs import StartError, WorkerLost
from tests.support.engines import command_runner
from tests.support.jobs import EventRecorder, family, job, module
from tests.support.waiting import until

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

TABLE = 300 << 20


async def test_the_top_level_runs_once_for_all_workers(tmp_path: Path) -> None:
    text = """
import os
from aioparcs import serve
with open("ran", "a") as file:
    print(os.getpid(), file=file)
def parent():
    return os.getppid()
serve(parent)
"""
    async with job(module(tmp_path, "once", text)) as runner, runner.start_many("once", 50) as tasks:
        parents = await asyncio.gather(*(t.call("parent") for t in tasks))
        async with runner.start("once") as another:  # asked for later, over the control connection
            parents.append(await another.call("parent"))
        assert len(family()) == 52  # the fork server, its agent, and the workers
    assert (tmp_path / "once" / "ran").read_text().split() == [str(parents[0])]
    assert len(parents) == 51
    assert len(set(parents)) == 1


@pytest.mark.untraced
async def test_memory_loaded_before_the_fork_is_shared(tmp_path: Path) -> None:
    text = f"""
from aioparcs import serve
TABLE = bytearray(b"x") * {TABLE}
def touch():
    return sum(memoryview(TABLE)[::4096]) // ord("x")
serve(touch)
"""
    async with job(module(tmp_path, "table", text)) as runner, runner.start_many("table", 20) as tasks:
        assert set(await asyncio.gather(*(t.call("touch") for t in tasks))) == {TABLE // 4096}
        rollups = [_rollup(process) for process in family()]
    private = sorted(rollup["Private_Dirty"] for rollup in rollups)
    assert private[-1] < 6 << 20
    assert sum(private) < 120 << 20
    assert TABLE < sum(rollup["Pss"] for rollup in rollups) < TABLE + (250 << 20)


def _rollup(process: psutil.Process) -> dict[str, int]:
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    return {name: int(size) << 10 for name, size in re.findall(r"(\w+): +(\d+) kB", text)}


# Threads at the top level of a module: one that Python knows, one that it doesn't, and one that ends before a fork.
WATCHER = "threading.Thread(target=threading.Event().wait, name='watcher', daemon={daemon}).start()"
NATIVE = """
libc = ctypes.CDLL(None)
libc.pthread_create(ctypes.byref(ctypes.c_ulong()), None, ctypes.cast(libc.pause, ctypes.c_void_p), None)
"""
SURVIVOR = """
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
def end():
    stop.set()
    thread.join()
os.register_at_fork(before=end)
"""


@pytest.mark.parametrize(
    "threads, names",
    [
        (WATCHER.format(daemon=True), "watcher"),
        (WATCHER.format(daemon=False), "watcher"),
        (NATIVE, r"\w+"),
        (SURVIVOR, None),
    ],
    ids=["daemon", "no daemon", "native", "survivor"],
)
async def test_threads_before_serve_lead_to_fresh_interpreters(tmp_path: Path, threads: str, names: str | None) -> None:
    text = f"""
import ctypes, os, threading
{threads}
from aioparcs import serve
loaded = os.getpid()
def is_fresh():
    return loaded == os.getpid()
serve(is_fresh)
"""
    recorder = EventRecorder()
    async with job(module(tmp_path, "threads", text), recorder=recorder) as runner:
        async with runner.start("threads", env={"PYTHONWARNINGS": "error"}) as t:
            assert await t.call("is_fresh") is bool(names)
    lines = recorder.lines.get(None, [])
    assert len(lines) == bool(names)
    if names:
        warning = (
            rf"warning: main\.py started threads before serve\(\) \({names}\), and a forked worker would lose them.*"
        )
        assert re.fullmatch(warning, lines[0])


async def test_a_fork_that_hangs_is_reported_with_the_threads(tmp_path: Path) -> None:
    text = f"""
import os, threading
{WATCHER.format(daemon=True)}
os.register_at_fork(after_in_child=threading.Event().wait)
from aioparcs import serve
from aioparcs.launcher import fork_safety
fork_safety._TRIAL = 0.2
serve(print)
"""
    async with job(module(tmp_path, "hangs", text), start_timeout=15.0) as runner:
        with pytest.raises(
            StartError, match=r"before serve\(\) \(watcher\), and a fork of it hangs; start them inside"
        ):
            await runner.start("hangs")


@pytest.mark.parametrize("fork", [True, False])
async def test_a_running_loop_is_refused(tmp_path: Path, fork: bool) -> None:
    text = f"""
import asyncio
from aioparcs import serve
async def main():
    serve(print, fork={fork})
asyncio.run(main())
"""
    async with job(module(tmp_path, "loop", text)) as runner:
        with pytest.raises(StartError, match=r"inside an event loop; call it at the end of main\.py"):
            await runner.start("loop")


CONNECTED = """
import asyncio, os, socket, sys
from aioparcs import serve
loop = asyncio.new_event_loop()  # its pair of sockets leads nowhere, and is passed over
listener = socket.create_server(("127.0.0.1", 0))
near = socket.create_connection(listener.getsockname())
far = listener.accept()[0]
inherited = socket.socket()
inherited.set_inheritable(True)
def port():
    return near.getpeername()[1]
serve(port, fork={fork})
"""


async def test_connections_at_the_top_level_are_named(tmp_path: Path) -> None:
    recorder = EventRecorder()
    async with job(module(tmp_path, "connected", CONNECTED.format(fork=True)), recorder=recorder) as runner:
        async with runner.start("connected") as t:
            port = await t.call("port")
        await until(lambda: len(recorder.lines.get(None, [])) >= 3)
    lines = recorder.lines[None]
    assert len(lines) == 3
    assert all(line.startswith("warning: main.py opened a connection before serve() (") for line in lines)
    assert any(f"(to 127.0.0.1:{port})" in line for line in lines)
    assert any(f"(at 127.0.0.1:{port})" in line for line in lines)


async def test_fresh_interpreters_may_have_connections(tmp_path: Path) -> None:
    recorder = EventRecorder()
    async with job(module(tmp_path, "connected", CONNECTED.format(fork=False)), recorder=recorder) as runner:
        async with runner.start_many("connected", 2) as tasks:
            ports = await asyncio.gather(*(t.call("port") for t in tasks))
    assert len(set(ports)) == 2
    assert None not in recorder.lines


async def test_fresh_interpreters_load_for_themselves(tmp_path: Path) -> None:
    text = """
import os, threading
threading.Thread(target=threading.Event().wait).start()  # no daemon: its end would be waited for
from aioparcs import serve
loaded = os.getpid()
def who():
    return [os.getpid(), os.getppid(), loaded, "PARCS_RUNNER" in os.environ]
serve(who, fork=False)
"""
    async with job(module(tmp_path, "fresh", text)) as runner, runner.start_many("fresh", 2) as tasks:
        (pid, parent, loaded, has_variable), (pid2, parent2, loaded2, _) = await asyncio.gather(
            *(t.call("who") for t in tasks)
        )
        assert (pid, pid2) == (loaded, loaded2)
        assert pid != pid2
        assert parent == parent2
        assert not has_variable


@pytest.mark.parametrize("fork", [True, False])
async def test_each_worker_has_random_numbers_of_its_own(tmp_path: Path, fork: bool) -> None:
    text = f"""
import random, numpy.random
from aioparcs import serve
random.seed(1)
numpy.random.seed(1)
def draw():
    return [random.random(), float(numpy.random.rand())]
serve(draw, fork={fork})
"""
    async with job(module(tmp_path, "chance", text)) as runner, runner.start_many("chance", 3) as tasks:
        draws = await asyncio.gather(*(t.call("draw") for t in tasks))
    assert len({plain for plain, _ in draws}) == len({other for _, other in draws}) == 3


GENERATORS = """
import pathlib, random, sys, numpy.random, helper
from aioparcs import serve
sys.path.append(str(pathlib.Path("site-packages").absolute()))
import installed
rng = numpy.random.default_rng()
same = rng
rngs = [random.Random(i) for i in range(2)]
class Model:
    noise = numpy.random.PCG64(1)
    def __init__(self):
        self.own = numpy.random.RandomState(2)
model = Model()
bound = random.Random(3).gauss
class Lazy(list):
    __class__ = property(lambda self: 1 / 0)
    __getitem__ = __iter__ = __len__ = None
lazy, plugin = Lazy(), type(random)("plugin")
plugin.__file__ = pathlib.Path("plugin.py")
sys.modules["plugin"] = plugin
secure, seeded, numpys = random.SystemRandom(), random._inst, numpy.random.mtrand._rand
def draw(rng=random.Random(1), *, other=random.Random(2)):
    return helper.draw()
serve(draw, fork={fork})
"""


@pytest.mark.untraced
@pytest.mark.parametrize("fork", [True, False])
async def test_random_generators_shared_by_all_workers_are_named(tmp_path: Path, fork: bool) -> None:
    recorder = EventRecorder()
    module(tmp_path, "drawing", GENERATORS.format(fork=fork))
    (tmp_path / "drawing" / "helper.py").write_text("import random\nmine = random.Random()\ndraw = mine.random\n")
    (tmp_path / "drawing" / "site-packages").mkdir()
    (tmp_path / "drawing" / "site-packages" / "installed.py").write_text("import random\ntheirs = random.Random()\n")
    async with job(tmp_path, recorder=recorder) as runner, runner.start_many("drawing", 2) as tasks:
        one, other = await asyncio.gather(*(t.call("draw") for t in tasks))
        assert (one == other) is fork
    lines = recorder.lines.get(None, [])
    assert len(lines) == fork
    if fork:
        warning = re.match(
            r"warning: main\.py made random generators before serve\(\) \((.*)\), so all workers", lines[0]
        )
        assert warning
        names = "rng, rngs[0], rngs[1], Model.noise, model.own, bound, a default of draw(), draw(other=), mine"
        assert sorted(warning[1].split(", ")) == sorted(names.split(", "))


async def test_exit_functions_run_once_in_the_launcher(tmp_path: Path) -> None:
    text = """
import atexit, os, tempfile
from aioparcs import serve
folder = tempfile.TemporaryDirectory()
atexit.register(lambda: open("ended", "a").write(f"{os.getpid()}\\n"))
def where():
    return [folder.name, os.getppid()]
serve(where)
"""
    async with job(module(tmp_path, "exits", text)) as runner, runner.start_many("exits", 3) as tasks:
        name, launcher = await tasks[0].call("where")
    assert (tmp_path / "exits" / "ended").read_text().split() == [str(launcher)]
    assert not Path(name).exists()  # noqa: ASYNC240  # quick


async def test_a_launcher_with_hanging_exit_functions_ends(tmp_path: Path) -> None:
    text = "import atexit, time\nfrom aioparcs import serve\natexit.register(time.sleep, 60)\nserve(print)\n"
    recorder = EventRecorder()
    async with command_runner(modules=module(tmp_path, "hangs", text), recorder=recorder) as (runner, engine):
        await runner.start("hangs")
    assert engine.processes[0].exited.result() == -signal.SIGALRM
    assert recorder.lines[None][0].startswith("warning: the exit functions of main.py (atexit) ran for 2 s, ")


async def test_an_agent_that_is_killed_is_named(tmp_path: Path) -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.start("probe") as t:
        worker, launcher, _ = await t.call("who")
        (control,) = [child for child in psutil.Process(launcher).children() if child.pid != worker]
        control.kill()
        await until(lambda: t.state == "gone")
        with pytest.raises(WorkerLost, match="its launcher ended with exit code 1"):
            await t.call("who")
    assert "error: the launcher's agent was killed by SIGKILL" in recorder.lines[None]


FLAGS = ("-O", "-I", "-X", "dev", "-X", "utf8", "-W", "error::UserWarning")


@pytest.mark.parametrize("fork", [True, False])
def test_workers_run_with_the_options_of_their_runners_interpreter(tmp_path: Path, fork: bool) -> None:
    text = f"""
import sys
from aioparcs import serve
def options():
    flags = sys.flags
    return [__debug__, flags.optimize, flags.isolated, flags.dev_mode, flags.utf8_mode, sys.warnoptions[-1:]]
serve(options, fork={fork})
"""
    program = f"""
from aioparcs import Runner, run
async def main(runner):
    async with Runner(modules=[{str(tmp_path)!r}]) as runner, runner.start("options") as t:
        print(await t.call("options"))
run(main)
"""
    module(tmp_path, "options", text)
    command = [sys.executable, *FLAGS, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{[False, 1, 1, True, 1, ['error::UserWarning']]}\n"
