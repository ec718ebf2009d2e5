"""Some histories of the simulation, that it repeats them, and that it finds bugs; ``make simulate`` runs many more."""

import re
import subprocess
import sys

import pytest

from tests.support.deep import deep, repeats
from tests.support.jobs import ENVIRONMENT

pytestmark = [pytest.mark.slow, pytest.mark.fresh]

# Seeds that have shown bugs of the product: results that a reset has lost; a reset that followed the worker's end;
# results that were lost with their worker's kernel.
REGRESSIONS = (60212, 60378, 70768)
# By what the checker finds: a seed that shows it soon, and a bug: a scheduler repeats what has begun, a launcher
# forgets the results that its worker had not sent, or those that it had, a pool forgets calls, and takes a reset
# that follows a worker's end for the reason of it.
BUGS = {
    "has begun in": (
        1,
        "from aioparcs.pool.scheduler.worker_state import WorkerState\n"
        "WorkerState.begun = property(lambda self: [])\n",
    ),
    "has begun in|was finished by": (
        98,
        "from aioparcs.channel import ResultLog\n"
        "ResultLog.read = lambda self: b''\n",
    ),
    "has begun in .*retries=0": (
        REGRESSIONS[2],
        "from aioparcs.channel import ResultLog, ResultWriter\n"
        "flush = ResultWriter._flush\n"
        "def forget(writer):\n"
        "    flush(writer)\n"
        "    if writer._result_log and not writer._unsent:\n"
        "        writer._result_log.clear()\n"
        "ResultWriter._flush = forget\n",
    ),
    "has no outcome|goes on and on|nothing is left": (
        1,
        "import random\n"
        "from aioparcs.pool.scheduler.rotation import Rotation\n"
        "submit = Rotation.submit\n"
        "Rotation.submit = lambda self, call: None if random.random() < 0.1 else submit(self, call)\n",
    ),
    "and with it . are lost|was finished by": (
        REGRESSIONS[1],
        "from aioparcs.pool.dispatch import worker\n"
        "worker._LEFT = 143\n",
    ),
}  # fmt: skip

FAILURES = """
from aioparcs import StartError
from aioparcs.channel import CallStream
from aioparcs.pool import Pool
from aioparcs.task import Task


async def fail(*_):
    raise StartError("work", "planted")


CallStream.take = Pool.resize = Task.recv = fail
for seed in range(6, 300):
    print(*(problems := simulate(seed).problems), sep="\\n")
    if any(problem.startswith("resizing") for problem in problems):
        break
"""
PROLOGUE = """
from tests.simulation.loop import clock

clock.install()
from tests.simulation.run import install, simulate

install()
"""


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=ENVIRONMENT | {"PYTHONHASHSEED": "0"}
    )


def simulate(seed: int, histories: int) -> str:
    done = run("-m", "tests.simulation", "--seed", str(seed), "--histories", str(histories), "--stop", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@deep
def test_nothing_is_lost_repeated_or_left_in_any_history() -> None:
    simulate(1, repeats(60, 1000))


@pytest.mark.parametrize("seed", [900054])
def test_a_history_that_was_wrong_once_is_right(seed: int) -> None:
    simulate(seed, 1)


def test_a_seed_makes_the_same_history_alone_and_behind_others() -> None:
    digests = [int(simulate(*one).split()[-1], 16) for one in ((5, 2), (5, 1), (6, 1))]
    assert digests[0] == digests[1] ^ digests[2]


@pytest.mark.parametrize("problem", BUGS)
def test_a_bug_is_found(problem: str) -> None:
    seed, bug = BUGS[problem]
    program = (
        f"{PROLOGUE}{bug}"
        f"for seed in range({seed}, {seed + 2000}):\n"
        "    if problems := simulate(seed).problems:\n"
        "        print(*problems)\n"
        "        break\n"
    )
    done = run("-c", program)
    assert re.search(problem, done.stdout), done.stdout + done.stderr


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_a_history_is_right_that_has_shown_a_bug(seed: int) -> None:
    simulate(seed, 1)


def test_streams_conversations_and_resizes_that_fail_without_a_fault_are_found() -> None:
    done = run("-c", PROLOGUE + FAILURES)
    found = set(re.findall("^(stream|the conversation|resizing) .* fails without a fault", done.stdout, re.MULTILINE))
    assert found == {"stream", "the conversation", "resizing"}, done.stdout + done.stderr
