"""The end of a worker: it writes what a Python program writes at its end, and leaves nothing in shared memory."""

import asyncio
import gzip
import os
import re
import shelve
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from aioparcs import WorkerLost
from tests.support.jobs import EventRecorder, family, job, module
from tests.support.waiting import PATIENCE, until

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

OPEN_FILES = """
import atexit, gzip, logging.handlers, multiprocessing.util, os, shelve, sys, tempfile, threading, time, zipfile
from aioparcs import serve
atexit.register(lambda: open("at_end", "a").write(f"{{os.getpid()}} "))
shared = open("shared", "a")
shared.write("once ")
memory = logging.handlers.MemoryHandler(100, target=logging.FileHandler("log"))
logging.getLogger().addHandler(memory)
logging.warning("once")
temporary = tempfile.TemporaryDirectory()
kept = []
def open_files():
    text, packed = open("text", "w"), gzip.open("packed", "wt")
    archive, shelf = zipfile.ZipFile("archive", "w"), shelve.open("shelf")
    shelf["key"] = "value"
    archive.writestr("name", "content")
    named, folder = tempfile.NamedTemporaryFile(), tempfile.TemporaryDirectory()
    kept.extend([text, packed, archive, shelf, named, folder])
    for file in text, packed, shared:
        file.write("written")
    logging.warning("logged")
    atexit.register(lambda: open("function", "w").write(f"of {{os.getpid()}}"))
    multiprocessing.util.Finalize(None, lambda: open("finalizer", "w").write("ran"), exitpriority=1)
    def late():
        threading.main_thread().join(0.05)
        open("thread", "w").write("done")
    threading.Thread(target=late).start()
    return named.name, folder.name, temporary.name, os.getpid(), os.getppid()
def dull(_=0):
    return 0
serve(dull, open_files, fork={fork})
"""


@pytest.mark.parametrize("fork", [True, False])
async def test_a_clean_end_writes_what_the_end_of_a_python_program_writes(tmp_path: Path, fork: bool) -> None:
    recorder = EventRecorder()
    folder = tmp_path / "hoarder"
    async with job(module(tmp_path, "hoarder", OPEN_FILES.format(fork=fork)), recorder=recorder) as runner:
        async with runner.pool("hoarder", 2) as pool:
            assert await pool.map(range(4)) == [0] * 4  # workers that end while nothing is theirs
        async with runner.start("hoarder") as t:
            named, made, temporary, worker, launcher = await t.call("open_files")
        assert not os.path.exists(named) and not os.path.exists(made)  # noqa: ASYNC240, PT018  # quick
        if fork:
            assert os.path.exists(temporary)  # noqa: ASYNC240  # the launcher's
    assert recorder.lines == {}
    assert not os.path.exists(temporary)  # noqa: ASYNC240  # quick
    names = ("text", "function", "finalizer", "thread", "shared", "log", "at_end")
    read = {name: (folder / name).read_text() for name in names}
    assert read["text"] == "written"
    assert (read["function"], read["finalizer"], read["thread"]) == (f"of {worker}", "ran", "done")
    assert read["shared"] == ("once " + "written" if fork else "once " * 4 + "written")
    assert read["log"].split() == (["once", "logged"] if fork else ["once"] * 4 + ["logged"])
    assert read["at_end"].split()[-1:] == [str(launcher)]
    assert len(read["at_end"].split()) == (1 if fork else 4)
    with gzip.open(folder / "packed", "rt") as packed, zipfile.ZipFile(folder / "archive") as archive:
        assert (packed.read(), archive.read("name")) == ("written", b"content")
    with shelve.open(str(folder / "shelf")) as shelf:
        assert shelf["key"] == "value"


LATE = """
import atexit, os, signal, threading, time
from aioparcs import Service, serve
class Late(Service):
    async def run(self):
        out = open("out", "w")
        out.write("written")
        atexit.register(lambda: open("at_end", "w").write("ran"))
        {end}
serve(Late)
"""


@pytest.mark.parametrize(
    "end, code",
    [
        ("threading.Thread(target=time.sleep, args=[60], name='saving').start()", 0),  # its time is limited
        ("raise SystemExit(3)", 3),
        ("os.kill(os.getpid(), signal.SIGTERM); await self.recv()", 143),
        ("raise KeyError(1)", 1),
    ],
)
async def test_all_clean_ends_write_buffered_files(tmp_path: Path, end: str, code: int) -> None:
    recorder = EventRecorder()
    async with job(module(tmp_path, "late", LATE.format(end=end)), recorder=recorder) as runner:
        t = await runner.start("late")
        await until(lambda: t.state == "gone")
    assert (tmp_path / "late" / "out").read_text() == "written"
    assert (tmp_path / "late" / "at_end").read_text() == "ran"
    *event, error = recorder.events[-1]
    assert event == ["ended", "late", 0]
    if code:
        assert error.startswith(f"ended with exit code {code}")
    else:
        assert error is None
        (line,) = recorder.lines[0]
        assert line.startswith("warning: threads (saving) still ran 1 s after the service had ended, ")


OVERTIME = """
import atexit, os, threading, time
from aioparcs import deadlines, serve
deadlines.EXIT_FUNCTIONS = 0.5
kept = []
def f(path):
    file = open(path, "w")
    file.write("written")
    kept.append(file)
    atexit.register(lambda: {wait})
serve(f)
"""


@pytest.mark.parametrize("wait", ["time.sleep(60)", "threading.Lock().acquire() and threading.Event().wait()"])
async def test_the_time_of_exit_functions_is_limited_and_files_are_written_all_the_same(
    tmp_path: Path, wait: str
) -> None:
    recorder = EventRecorder()
    overtime = module(tmp_path, "overtime", OVERTIME.format(wait=wait))
    async with job(overtime, recorder=recorder, close_timeout=60.0) as runner, asyncio.timeout(PATIENCE):
        async with runner.start("overtime") as t:
            await t.call("f", str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "written"
    assert [event[-1] for event in recorder.events if event[0] == "ended"] == [None]
    place = "main.py:10" if wait.startswith("time") else r"threading.py:\d+"
    (line,) = recorder.lines[0]
    assert re.fullmatch(rf"warning: the exit functions \(atexit\) and files of a worker \({place}\) were not .*", line)


SHARING = """
import multiprocessing, os, signal, subprocess, sys
from multiprocessing.shared_memory import SharedMemory
from aioparcs import Service, serve
OTHER = "from multiprocessing.shared_memory import SharedMemory as S; s = S(None, True, 9); print(s.name); input()"
class Sharing(Service):
    async def run(self):
        mine = SharedMemory(create=True, size=1 << 20)
        SharedMemory(mine.name).close()  # it is its own all the same
        command = [sys.executable, "-c", OTHER]
        other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        await self.send([mine.name, other.stdout.readline().strip()])
        await self.recv()
        os._exit(3)
serve(Sharing)
"""


@pytest.mark.parametrize("end", ["return", "kill", "exit", "launcher"])
async def test_no_end_leaves_anything_in_shared_memory(tmp_path: Path, end: str) -> None:
    async with job(module(tmp_path, "sharing", SHARING)) as runner:
        t = await runner.start("sharing")
        paths = [Path("/dev/shm", name) for name in await t.recv()]  # the worker's, and one of a program that it runs
        assert [path.exists() for path in paths] == [True, True]
        if end == "return":
            await t.shutdown()
        elif end == "kill":
            await t.kill()
        elif end == "exit":
            await t.send(None)
            with pytest.raises(WorkerLost):
                await t.recv()
        else:
            worker = next(process for process in family() if process.ppid() != os.getpid())
            psutil.Process(worker.ppid()).kill()
        await until(lambda: not any(path.exists() for path in paths))


ATTACHING = """
from aioparcs import serve
{top}
def total(name):
    from multiprocessing.shared_memory import SharedMemory
    segment = SharedMemory(name)
    try:
        return sum(segment.buf[:10])
    finally:
        segment.close()
def remove(name):
    from multiprocessing.shared_memory import SharedMemory
    segment = SharedMemory(name)
    segment.close()
    segment.unlink()
serve(total, remove, fork={fork})
"""


@pytest.fixture
def segment() -> Iterator[Path]:
    """Create shared memory as SharedMemory does, but without a tracker in this process."""
    path = Path("/dev/shm", f"aioparcs-{os.getpid()}")
    path.write_bytes(bytes(range(10)))
    yield path
    path.unlink(missing_ok=True)


@pytest.mark.parametrize("top", ["", "import multiprocessing.shared_memory"], ids=["late", "early"])
@pytest.mark.parametrize("fork", [True, False])
async def test_memory_that_a_worker_attached_to_outlives_it(
    tmp_path: Path, segment: Path, fork: bool, top: str
) -> None:
    recorder = EventRecorder()
    async with job(module(tmp_path, "attaching", ATTACHING.format(fork=fork, top=top)), recorder=recorder) as runner:
        for _ in range(2):
            async with runner.start("attaching") as t:
                assert await t.call("total", segment.name) == 45
        async with runner.start("attaching") as t:
            await t.call("remove", segment.name)
    assert not segment.exists()  # noqa: ASYNC240  # quick
    assert recorder.lines == {}  # no tracker complains


COMMITTING = """
import threading
from aioparcs import serve
class Slow:
    def close(self):
        threading.Event().wait()
    def __del__(self):
        pass
class Atomic:
    def __init__(self, path):
        self.path = path
    def close(self):
        open(self.path, "w").write("half of it")
    def __del__(self):
        pass
kept = []
def half(path):
    kept.extend([Atomic(path), Slow()])
serve(half)
"""


async def test_the_end_closes_no_user_defined_object(tmp_path: Path) -> None:
    async with job(module(tmp_path, "committing", COMMITTING), close_timeout=60.0) as runner, asyncio.timeout(PATIENCE):
        async with runner.start("committing") as t:
            await t.call("half", str(tmp_path / "file"))
    assert not (tmp_path / "file").exists()
