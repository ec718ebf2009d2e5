"""A runner and what its workers do in one main.py that ends in run(...)."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import COMMAND
from tests.support.jobs import ENVIRONMENT, execute

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

HEAD = """
import asyncio, os, sys
from aioparcs import *

def divisors(n, a, b):
    return [i for i in range(a, b) if n % i == 0]

def launcher(_=None):
    return os.getppid()
"""


def write(folder: Path, body: str, *, head: str = "", end: str = "run(main)") -> Path:
    """Write a main.py with the functions above, and a coroutine function main with this body."""
    lines = "\n    ".join(body.strip().splitlines())
    main = folder / "main.py"
    main.parent.mkdir(parents=True, exist_ok=True)
    main.write_text(f"{HEAD}\n{head}\nasync def main(runner):\n    {lines}\n\n{end}\n")
    return main


def output(main: Path, *arguments: str, cwd: Path | None = None, **env: str) -> str:
    """Run a program, which must succeed and report nothing; return what it prints."""
    command = [sys.executable, *(arguments if arguments[:1] == ("-m",) else (str(main), *arguments))]
    done = subprocess.run(
        command,
        cwd=cwd or main.parent,
        env=ENVIRONMENT | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


POOL = """
async with runner.pool(divisors, 2) as pool:
    print(await pool.starmap((12, a, a + 6) for a in (1, 7)))
"""


@pytest.mark.parametrize("end", ["run(main)", 'if __name__ == "__main__":\n    run(main)'])
def test_a_pool_of_a_function_in_main(tmp_path: Path, end: str) -> None:
    main = write(tmp_path, POOL, end=end)
    assert output(main) == "[[1, 2, 3, 4, 6], [12]]\n"
    done = subprocess.run(
        [*COMMAND, "run", "-q", str(tmp_path)],
        cwd="/",
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("[[1, 2, 3, 4, 6], [12]]\n", "")


def test_all_ways_to_name_a_function(tmp_path: Path) -> None:
    head = """
import functools, math

SCALE = 1

def setup(scale):
    global SCALE
    SCALE = scale

def scaled(x):
    return x * SCALE

async def later(x):
    await asyncio.sleep(0)
    return -x

def logged(function):
    @functools.wraps(function)
    def call(*args):
        return function(*args)
    return call

@logged
def decorated(x):
    return x + 100

class Tools:
    @staticmethod
    def double(x):
        return 2 * x
"""
    body = """
async with runner.pool(scaled, 1, setup={"scale": 10}) as pool:
    print(await pool.map([1, 2]), await pool.submit(3), await pool.map([4], function=scaled))
    print(await pool.map([1, 2], function=later), await pool.map([1], function="later"))
    print([result async for result in pool.imap([1], function=decorated)], await pool.submit(4, function=Tools.double))
    print(await pool.starmap([(6, 1, 7)], function=divisors), await pool.submit(6, 1, 7, function=divisors))
async with runner.pool(scaled, 1, function=decorated) as pool:
    print(await pool.map([1]), await pool.map([1], function=scaled), await pool.map([1], function="scaled"))
async with runner.start(later) as t:
    print(await t.call(later, 1), await t.call("later", 1), await t.call(Tools.double, x=3))
async with runner.pool(math.factorial, 1) as pool:
    print(await pool.map([3, 4]))
"""
    assert output(write(tmp_path, body, head=head)).splitlines() == [
        "[10, 20] 30 [40]",
        "[-1, -2] [-1]",
        "[101] 8",
        "[[1, 2, 3, 6]] [1, 2, 3, 6]",
        "[101] [1] [1]",
        "-1 -1 6",
        "[6, 24]",
    ]


def test_coroutine_functions_run_several_at_once_whichever_way_they_are_given(tmp_path: Path) -> None:
    head = """
running = 0
both = asyncio.Event()

async def meet(_):
    global running
    running += 1
    if running == 2:
        both.set()
    await both.wait()
    return running
"""
    body = """
async with runner.pool(meet, 1, concurrency=2) as pool:
    print(await pool.map(range(2)))
async with runner.pool(divisors, 1, concurrency=2) as pool:
    print(await pool.map(range(2), function=meet))
async with runner.pool(divisors, 1, concurrency=2, timeout=60) as pool:
    print(await pool.map(range(2), function=meet))
"""
    assert output(write(tmp_path, body, head=head)) == "[2, 2]\n[2, 2]\n[2, 2]\n"


def test_functions_that_are_found_at_their_first_call_keep_its_time_limit(tmp_path: Path) -> None:
    head = """
import functools, time

def sleep(seconds):
    time.sleep(seconds)
    return seconds

async def later(seconds):
    await asyncio.sleep(seconds)
    return seconds

def logged(function):
    @functools.wraps(function)
    def call(*args):
        return function(*args)
    return call

@logged
async def decorated(seconds):
    return await later(seconds)

async def limit(call):
    try:
        return await call
    except CallTimeout as error:
        return error.ended_worker
"""
    body = """
for function in (sleep, later, decorated):
    async with runner.pool(divisors, 1) as pool:
        print(await pool.map([0], function=function, timeout=60), await pool.submit_within(60, 0, function=function))
        print(await limit(pool.submit_within(0.2, 600, function=function)), await pool.submit(12, 1, 5))
    async with runner.start(divisors) as t:
        print(await t.call_within(60, function, 0), await limit(t.call_within(0.2, function, 600)))
"""
    assert output(write(tmp_path, body, head=head)).splitlines() == [
        *("[0] 0", "True [1, 2, 3, 4]", "0 True"),
        *("[0] 0", "False [1, 2, 3, 4]", "0 False"),
        *("[0] 0", "False [1, 2, 3, 4]", "0 False"),
    ]


SERVICES = """
class Leaf(Service):
    async def run(self):
        await self.send([await self.recv() * 2, self.rank])

class Branch(Service):
    async def run(self):
        async with self.start(Leaf) as t, self.pool(divisors, 1) as pool:
            await t.send(await self.recv())
            await self.send([await t.recv(), await pool.submit(6, 1, 7), await pool.map([1], function=launcher)])
"""


def test_services_and_workers_of_services(tmp_path: Path) -> None:
    body = """
async with runner.start_many(Leaf, 2) as tasks:
    for t in tasks:
        await t.send(4)
    print([await t.recv() for t in tasks], tasks[1].name)
async with runner.start(Branch) as t:
    await t.send(5)
    doubled, found, _ = await t.recv()
    print(doubled, found)
"""
    out = output(write(tmp_path, body, head=SERVICES))
    assert out == "[[8, 0], [8, 1]] Leaf:1\n[10, 0] [1, 2, 3, 6]\n"


def test_a_runner_limits_what_its_services_start_by_functions_and_classes(tmp_path: Path) -> None:
    body = """
async with Runner(spawnable=[Leaf]) as limited:
    t = await limited.start(Branch)
    await t.send(5)
    await t.recv()
"""
    done = execute(write(tmp_path, body, head=SERVICES))
    assert done.returncode == 1
    assert "divisors did not start: its runner lets services start __main__:Leaf: to allow this one" in done.stderr


def test_registered_types_and_errors_travel(tmp_path: Path) -> None:
    head = """
from dataclasses import dataclass

@register
@dataclass
class Point:
    x: int

def move(point):
    if point.x < 0:
        raise ValueError("below zero")
    return Point(point.x + 1)
"""
    body = """
async with runner.pool(move, 1) as pool:
    print(await pool.submit(Point(1)))
    try:
        await pool.submit(Point(-1))
    except ValueError as error:
        print(error.message, "in move" in error.traceback)
"""
    assert output(write(tmp_path, body, head=head)) == "Point(x=2)\nbelow zero True\n"


def test_the_top_level_runs_in_launchers_with_the_same_arguments_folder_and_variables(tmp_path: Path) -> None:
    head = """
PLACE = [sys.argv[1:], os.getcwd(), os.environ["N"], __name__, os.path.basename(__file__)]
with open("loads", "a") as file:
    print("load", file=file)

def place():
    return PLACE
"""
    body = """
with open("runs", "a") as file:
    print("run", file=file)
os.chdir("/")
async with runner.pool(place, 2) as pool:
    print(await pool.submit() == PLACE, PLACE[0], PLACE[2:])
    a = await asyncio.gather(*(pool.submit(function=launcher) for _ in range(20)))
async with runner.start_many(place, 2) as tasks:
    b = await asyncio.gather(*(t.call(launcher) for t in tasks))
print(len({*a, *b}))
"""
    folder = tmp_path / "current"
    folder.mkdir()
    main = write(tmp_path / "program", body, head=head)
    assert output(main, "--size", "3", cwd=folder, N="7") == (
        "True ['--size', '3'] ['7', '__main__', 'main.py']\n1\n"  # all workers are of one launcher
    )
    assert (folder / "runs").read_text() == "run\n"  # a worker never runs main()
    assert (folder / "loads").read_text() == "load\n" * 2


def test_what_the_top_level_prints_in_a_launcher_is_output_of_its_workers(tmp_path: Path) -> None:
    done = execute(write(tmp_path, POOL, head='print("loading")'))
    assert done.stdout == "loading\n[[1, 2, 3, 4, 6], [12]]\n"
    assert done.stderr == "divisors | loading\n"


def test_variables_of_the_command_line_are_there_in_workers(tmp_path: Path) -> None:
    main = write(tmp_path, POOL.replace("(12,", "(N,"), head='N = int(os.environ["N"])')
    done = subprocess.run(
        [*COMMAND, "run", "-q", str(main.parent), "-e", "N=6"],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("[[1, 2, 3, 6], []]\n", "")


def test_threads_of_the_top_level_give_each_worker_a_fresh_interpreter(tmp_path: Path) -> None:
    head = """
import threading
stop = threading.Event()
threading.Thread(target=stop.wait, daemon=True).start()
"""
    done = execute(write(tmp_path, POOL, head=head))
    assert done.stdout == "[[1, 2, 3, 4, 6], [12]]\n"
    assert "main.py started threads before" in done.stderr


def test_an_edited_program_is_run_by_new_workers(tmp_path: Path) -> None:
    head = """
import helper
VERSION = 1

def versions():
    return [VERSION, helper.VERSION, os.getppid()]
"""
    body = """
from pathlib import Path
async with runner.start(versions) as t:
    *values, first = await t.call(versions)
    print(values)
    Path(helper.__file__).write_text("VERSION = 22")
    async with runner.start(versions) as other:
        *values, second = await other.call(versions)
        print(values, first != second)
    main = Path(__file__)
    main.write_text(main.read_text().replace("VERSION = 1", "VERSION = 333"))
    async with runner.pool(versions, 1) as pool:
        *values, third = await pool.submit()
        print(values, third != second)
    print((await t.call(versions))[:2])
async with runner.pool(versions, 1) as pool:
    print((await pool.submit())[-1] == third)
"""
    (tmp_path / "helper.py").write_text("VERSION = 1")
    done = execute(write(tmp_path, body, head=head), PARCS_PROGRESS="on")
    assert done.stdout.splitlines() == ["[1, 1]", "[1, 22] True", "[333, 22] True", "[1, 1]", "True"], done.stderr


# Packages


def package(folder: Path, **modules: str) -> Path:
    for name, text in {"__init__": "", **modules}.items():
        (folder / "app").mkdir(exist_ok=True)
        (folder / "app" / f"{name}.py").write_text(text)
    return folder / "app" / "main.py"


APP = """
from aioparcs import run
from .work import double

def triple(x):
    return 3 * x

async def main(runner):
    from app.main import triple as other
    async with runner.pool(triple, 1) as pool, runner.pool(double, 1) as doubles, runner.pool(other, 1) as others:
        print(await pool.map([1, 2]), await doubles.map([1]), await others.map([1]))
        print(await pool.map([1], function=double), await pool.map([1], function=other), other is not triple)

if __name__ == "__main__":
    run(main)
"""
WORK = "from .constants import TWO\n\ndef double(x):\n    return x * TWO\n"


def test_a_package_with_relative_imports_and_a_function_under_two_names(tmp_path: Path) -> None:
    main = package(tmp_path, main=APP, work=WORK, constants="TWO = 2")
    assert output(main, "-m", "app.main", cwd=tmp_path) == "[3, 6] [2] [3]\n[2] [3] True\n"
    (tmp_path / "app" / "__main__.py").write_text(APP.replace("app.main", "app.__main__"))
    assert output(main, "-m", "app", cwd=tmp_path) == "[3, 6] [2] [3]\n[2] [3] True\n"


def test_a_folder_with_a_main_that_python_runs(tmp_path: Path) -> None:
    main = write(tmp_path / "folder", POOL)
    main.rename(main.with_name("__main__.py"))
    assert output(tmp_path / "folder") == "[[1, 2, 3, 4, 6], [12]]\n"


# What can't work


@pytest.mark.parametrize(
    "head, body, message",
    [
        (
            "",
            "await runner.start(divisors)",
            "divisors did not start: its main.py ended without calling run(...): it must do so in its launchers too",
        ),
        (
            'if "PARCS_RUNNER" not in os.environ:\n    def gone(): pass',
            "await runner.start(gone)",
            "a worker finds no gone in main.py, above run(main)",
        ),
        ('if "PARCS_RUNNER" in os.environ:\n    raise OSError("no such disk")', "await runner.start(divisors)",
         "OSError: no such disk"),
        (
            "",
            "async with runner.pool(divisors, 1) as pool:\n    await pool.map([1], function='math:factorial')",
            "no function 'math:factorial' is served here (math is not one of the program's own files; "
            "start a pool of that function); there are: divisors",
        ),
        (
            "",
            "async with runner.pool(divisors, 1, function='os.system') as pool:\n    await pool.map(['true'])",
            "no function 'os.system' is served here (os.system is not a function of __main__)",
        ),
        (
            "",
            "async with runner.pool(divisors, 1, function='nope') as pool:\n    await pool.map([1])",
            "no function 'nope' is served here (AttributeError: module '__main__' has no attribute 'nope'); there are:",
        ),
        (
            "",
            "async with runner.pool(divisors, 1) as pool:\n    pool.imap([1], function='divisor')",
            "no function 'divisor' is served by divisors; did you mean 'divisors'? There are: divisors, ",
        ),
        (
            "",
            "async with runner.pool('divisors', 1): pass",
            "; for the program's own divisors pass it as it is, without quotes",
        ),
        (
            "class Odd(Service):\n    def run(self): pass",
            "await runner.start(Odd)",
            "error: Odd.run is a plain function: write async def run(self), with await before self.recv()",
        ),
    ],
)  # fmt: skip
def test_errors_of_workers_say_what_to_do(tmp_path: Path, head: str, body: str, message: str) -> None:
    is_last = "without calling run" in message
    end = 'if "PARCS_RUNNER" not in os.environ:\n    run(main)' if is_last else "run(main)"
    done = execute(write(tmp_path, body, head=head, end=end))
    assert done.returncode == 1
    assert message in re.sub(r"\s*\n\s*\|?", "\n", done.stderr), done.stderr


def test_a_program_of_another_name_is_named(tmp_path: Path) -> None:
    main = write(
        tmp_path, "await runner.start(divisors)", head='import os\nif "PARCS_RUNNER" in os.environ: os._exit(1)'
    )
    done = execute(main.rename(main.with_name("primes.py")))
    assert "divisors did not start: its primes.py ended with exit code 1 before it called run(...)" in done.stderr
