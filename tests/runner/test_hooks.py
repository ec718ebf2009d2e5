"""Tools that collect errors by hooks of Python: they get the exceptions of users as they are, wherever these end."""

from pathlib import Path

import pytest

from tests.support.jobs import execute, module

pytestmark = pytest.mark.slow

# As the tools do it: the exception is kept, and then passed on to the hook that was there before.
HOOK = """
import logging, sys, traceback

def describe(error):
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    return f"{type(error).__name__} {error} in {frames[-1]} from {type(error.__cause__).__name__} {error.__cause__}"

def install():
    before = sys.excepthook

    def hook(kind, error, trace):
        assert kind is type(error) and trace is error.__traceback__
        print(f"hook: {describe(error)}", flush=True)
        before(kind, error, trace)

    class Handler(logging.Handler):
        def emit(self, record):
            print(f"log: {describe(record.exc_info[1])}", flush=True)

    sys.excepthook = hook
    logging.getLogger().addHandler(Handler())

def fail(n):
    try:
        {}[n]
    except KeyError as error:
        raise ValueError("no room") from error
"""

SERVICE = f"""{HOOK}
from aioparcs import Service, serve

install()

class Failing(Service):
    async def run(self):
        fail(await self.recv())

serve(Failing)
"""

FUNCTION = f"""{HOOK}
from aioparcs import serve

install()

def logged(n):
    try:
        fail(n)
    except ValueError:
        logging.exception("it has failed")
        raise

serve(logged)
"""


def runner(body: str) -> str:
    return f"""{HOOK}
from aioparcs import run

install()

async def main(runner):
    {body}

run(main)
"""


def printed(folder: Path, body: str) -> tuple[list[str], str]:
    """Run a runner that fails; return what its hook and those of its workers printed, and its standard error."""
    (folder / "main.py").write_text(runner(body))
    done = execute(folder / "main.py", folder, PARCS_MODULES=str(folder))
    assert done.returncode == 1
    lines = [line.split("| ")[-1] for line in (done.stdout + done.stderr).splitlines()]
    return sorted(line for line in lines if line.startswith(("hook: ", "log: "))), done.stderr


def test_the_hook_of_a_runner_gets_what_ends_it(tmp_path: Path) -> None:
    lines, errors = printed(tmp_path, "fail(7)")
    assert lines == ["hook: ValueError no room in fail from KeyError 7"]
    assert errors.count("ValueError: no room") == 1


def test_the_hook_of_a_service_gets_what_ends_it_and_that_of_its_runner_the_same(tmp_path: Path) -> None:
    module(tmp_path, "failing", SERVICE)
    body = 'task = await runner.start("failing"); await task.send(7); await task.recv()'
    lines, _ = printed(tmp_path, body)
    other, own = lines
    assert own == "hook: ValueError no room in fail from KeyError 7"
    assert other.startswith("hook: RemoteError ValueError in worker failing:0: no room in ")
    assert other.endswith(" from RemoteError KeyError: 7")


def test_a_log_of_a_function_has_its_exception_and_the_hook_of_the_runner_gets_the_call_s(tmp_path: Path) -> None:
    module(tmp_path, "failing", FUNCTION)
    lines, _ = printed(tmp_path, 'async with runner.pool("failing", 1) as pool: await pool.map([7])')
    hooked, logged = lines
    assert logged == "log: ValueError no room in fail from KeyError 7"
    assert hooked.startswith("hook: RemoteError ValueError in worker failing:0: no room in ")
    assert hooked.endswith(" from RemoteError KeyError: 7")


def test_a_hook_that_fails_hides_no_exception(tmp_path: Path) -> None:
    _, errors = printed(tmp_path, "sys.excepthook = lambda *_: 1 / 0; fail(7)")
    assert "ZeroDivisionError" in errors
    assert "ValueError: no room" in errors
