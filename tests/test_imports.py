"""The modules that programs load: each start pays for them, and a suite of tests starts thousands of programs."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.command import execute

pytestmark = pytest.mark.untraced  # coverage loads modules of its own

NAMES = "from aioparcs import Runner, Service, run, serve\n"
EMPTY = "async def main():\n    async with Runner(): pass\nasyncio.run(main())\n"
# What loads slowly, and few programs need.
SLOW = {
    "aiodocker", "aiohttp", "ast", "bz2", "click", "ctypes", "dataclasses", "decimal", "difflib", "docker", "fractions",
    "json", "lzma", "numpy", "random", "rich", "secrets", "shlex", "shutil", "statistics", "symtable", "sysconfig",
    "tarfile", "tempfile", "tomllib", "uvloop", "zlib",
}  # fmt: skip
# A function of the program: what its worker has loaded, of that after the fork, and what its runner has.
PROGRAM = """
import json, os, sys
from aioparcs import Runner, run

shared = set()
os.register_at_fork(after_in_child=lambda: shared.update(sys.modules))

def modules(_):
    return sorted(sys.modules), sorted(set(sys.modules) - shared)

async def main(runner: Runner):
    async with runner.pool(modules, 1) as pool:
        (worker,) = await pool.map([0])
    print(json.dumps([*worker, sorted(sys.modules)]))

run(main)
"""


def loaded_by(code: str) -> set[str]:
    """Return the modules that some code loads besides those of asyncio, which each program has."""
    shown = "after = set(sys.modules) - before\nimport json\nprint(json.dumps(sorted(after)))"
    done = execute([sys.executable, "-c", f"import asyncio, sys\nbefore = set(sys.modules)\n{code}{shown}"])
    assert not done.stderr
    return set(json.loads(done.stdout))


def own(modules: set[str]) -> int:
    """Return how many of some modules are this package's."""
    return sum(name.startswith("aioparcs") for name in modules)


def test_the_names_of_a_program_load_nothing_that_runs_it() -> None:
    loaded = loaded_by(NAMES)
    assert not loaded & (SLOW | {"hashlib", "hmac", "msgpack", "pathlib"})
    assert own(loaded) < 25


@pytest.mark.slow
def test_a_runner_loads_no_more_than_it_needs_before_it_starts_workers() -> None:
    loaded = loaded_by(NAMES + EMPTY)
    assert not loaded & (SLOW - {"ctypes"} | {"concurrent.futures.thread", "queue", "termios"})
    unneeded = (
        "build", "cli", "collectives", "executor", "files.listing", "files.sending", "journal", "launcher.agent.agent",
        "launcher.fork_server", "launcher.process.child", "launcher.startup", "local.environments", "monitor", "pool",
        "recording", "runner.control", "runner.original", "runner.spawn_server", "service.serving", "swarm", "web",
    )  # fmt: skip
    assert not [name for name in loaded if name.removeprefix("aioparcs.").startswith(unneeded)]
    assert own(loaded) < 162


@pytest.mark.slow
def test_a_worker_loads_nothing_after_its_fork_and_nothing_of_a_runners(tmp_path: Path) -> None:
    main = tmp_path / "main.py"
    main.write_text(PROGRAM)
    done = execute([sys.executable, str(main)])
    assert not done.stderr
    worker, after_fork, runner = json.loads(done.stdout)
    assert not after_fork
    rooms = {name.split(".")[1] for name in worker if name.startswith("aioparcs.")}
    assert not rooms & {"display", "engine", "events", "journal", "local", "modules", "pool", "recording", "task"}
    assert [name for name in worker if name.startswith("aioparcs.runner.")] == ["aioparcs.runner.runner"]
    assert not {"aiohttp", "click", "decimal", "random", "rich", "shutil", "tarfile"} & set(worker)
    # Of a pool without a journal, whose calls are not hedged.
    assert not {"aioparcs.journal", "aioparcs.service.serving", "decimal", "rich", "shutil", "symtable"} & set(runner)


@pytest.mark.slow
def test_the_command_line_loads_what_a_run_needs() -> None:
    loaded = loaded_by("from aioparcs.cli import main\n")
    assert not loaded & (SLOW - {"click", "json", "shlex"})
