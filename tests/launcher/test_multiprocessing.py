"""Children of multiprocessing, which import main.py again, in runners and workers; and runners started as workers."""

import sys
from pathlib import Path

import pytest

from aioparcs import StartError
from tests.support.command import COMMAND
from tests.support.command import execute as execute_command
from tests.support.jobs import EventRecorder, execute, family, job, left, module

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

# No `if __name__ == "__main__"` anywhere: a module's main.py has none.
COMPUTE = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
print("imported", flush=True)
def double(n): return 2 * n
def with_executor(how):
    with ProcessPoolExecutor(1, mp_context=get_context(how)) as executor:
        return list(executor.map(double, range(3)))
def with_pool(how):
    with get_context(how).Pool(1) as pool:
        return pool.map(double, range(3))
"""
FUNCTIONS = f"{COMPUTE}\nfrom aioparcs import serve\nserve(with_executor, with_pool"
CLASS = f"""{COMPUTE}
from aioparcs import Service, serve
class Doubling(Service):
    async def run(self):
        await self.send(with_executor(await self.recv()))
serve(Doubling)
"""
RUNNER = f"""{COMPUTE}
from aioparcs import run
async def main(runner):
    print("runs", with_executor("METHOD"), with_pool("METHOD"))
run(main)
"""
METHODS = ("spawn", "forkserver")  # forkserver is the default of Python 3.14


@pytest.mark.parametrize("options", ["", ", fork=False"])
async def test_functions_may_use_multiprocessing(tmp_path: Path, options: str) -> None:
    async with job(module(tmp_path, "doubling", f"{FUNCTIONS}{options})")) as runner, runner.start("doubling") as t:
        for method in METHODS:
            for function in ("with_executor", "with_pool"):
                assert await t.call(function, method) == [0, 2, 4]


async def test_a_service_class_may_use_multiprocessing(tmp_path: Path) -> None:
    async with job(module(tmp_path, "doubling", CLASS)) as runner, runner.start("doubling") as t:
        await t.send("spawn")
        assert await t.recv() == [0, 2, 4]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("command", [[sys.executable], [*COMMAND, "run"]], ids=["python", "aioparcs run"])
def test_a_runner_may_use_multiprocessing_and_its_job_is_run_once(
    tmp_path: Path, command: list[str], method: str
) -> None:
    module(tmp_path, "runner", RUNNER.replace("METHOD", method))
    done = execute_command([*command, str(tmp_path / "runner" / "main.py")])
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line for line in lines if line != "imported"] == ["runs [0, 2, 4] [0, 2, 4]"]


def test_a_job_that_a_child_would_repeat_is_refused(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import asyncio\nfrom aioparcs import Runner\nfrom multiprocessing import get_context\n"
        "async def main():\n    async with Runner():\n        child = get_context('spawn').Process(target=print)\n"
        "        child.start()\n        child.join()\n        print('exit code', child.exitcode)\nasyncio.run(main())\n"
    )
    done = execute(tmp_path / "main.py")
    assert (done.returncode, done.stdout) == (0, "exit code 1\n")
    assert "must not repeat its job: pass the coroutine function itself to run(), or call" in done.stderr


RUNS = "async def main(runner):\n    async with runner.pool('selfie', 1): pass\nrun(main)"
ENTERS = "async def main():\n    async with Runner() as runner, runner.pool('selfie', 1): pass\nasyncio.run(main())"


@pytest.mark.parametrize("text, what", [(RUNS, "it calls run()"), (ENTERS, "it makes a Runner")])
async def test_a_runner_that_is_started_as_a_worker_is_refused(tmp_path: Path, text: str, what: str) -> None:
    module(tmp_path, "selfie", f"import asyncio\nfrom aioparcs import *\n{text}\n")
    recorder = EventRecorder()
    async with job(tmp_path, recorder=recorder) as runner:
        with pytest.raises(StartError) as caught:
            await runner.start("selfie")
        assert left(family()) == []
    assert f"selfie is a runner: {what}; a worker can only be a service" in str(caught.value)


async def test_a_service_may_run_a_runner_as_a_program_of_its_own(tmp_path: Path) -> None:
    module(tmp_path, "inner", "from aioparcs import run\nasync def main(runner): print('inner runs')\nrun(main)")
    module(
        tmp_path,
        "outer",
        "import subprocess, sys\nfrom aioparcs import serve\n"
        "def call(path): return subprocess.check_output([sys.executable, path], text=True)\nserve(call, fork=False)",
    )
    async with job(tmp_path) as runner, runner.start("outer") as t:
        assert await t.call("call", str(tmp_path / "inner" / "main.py")) == "inner runs\n"
