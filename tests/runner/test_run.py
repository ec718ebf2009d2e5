"""A runner as a program: its exit code, its output, its signals."""

import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import aioparcs
from aioparcs import Runner
from tests.support import command
from tests.support.jobs import MODULES, EventRecorder, execute, job, module

HEAD = """
import asyncio
from aioparcs import *
"""


def run(tmp_path: Path, body: str, **env: str) -> tuple[int, str, str]:
    main = tmp_path / "main.py"
    main.write_text(f"{HEAD}async def main(runner):\n    {body}\nrun(main)\nprint('after')\n")
    done = execute(main, None, **env)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_success_returns_to_the_program(tmp_path: Path) -> None:
    body = """async with runner.start("talker") as t:
        await t.send(["echo", 1])
        print(await t.recv())"""
    assert run(tmp_path, body) == (0, "1\nafter\n", "")


@pytest.mark.slow
def test_a_subclass_of_runner(tmp_path: Path) -> None:
    main = tmp_path / "main.py"
    main.write_text(
        f"{HEAD}class Main(Runner):\n    async def run(self):\n        print(len(await self.start_many('talker', 2)))\n"
        "run(Main)"
    )
    assert execute(main).stdout == "2\n"
    main.write_text(f"{HEAD}class Main(Runner): pass\nrun(Main)")
    done = execute(main)
    assert (done.returncode, done.stderr) == (1, "TypeError: Main has no run() method\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "body, message",
    [
        (
            "await runner.start('nosuch')",
            r"error \(\S+/main\.py:5\): nosuch did not start: there is no module of that name .*",
        ),
        (
            "t = await runner.start('talker'); await t.send(object())",
            r"error \(\S+/main\.py:5\): \$: object cannot be sent; .*",
        ),
        (
            "t = await runner.start('talker'); await t.send(['die', 9]); await t.recv()",
            r"error \(\S+/main\.py:5\): worker talker:0 was killed by SIGKILL",
        ),
    ],
)
def test_errors_of_aioparcs_are_one_line(tmp_path: Path, body: str, message: str) -> None:
    code, out, err = run(tmp_path, body)
    assert (code, out) == (1, "")
    assert re.fullmatch(message + "\n", err), err


@pytest.mark.slow
def test_a_remote_error_has_the_tracebacks_of_both_programs(tmp_path: Path) -> None:
    body = "t = await runner.start('functions'); await t.call('fail', 'ValueError', 'why')"
    code, _, err = run(tmp_path, body)
    assert code == 1
    assert err.startswith(
        f"error ({tmp_path.name}/main.py:5): ValueError in worker functions:0: why\nTraceback (most recent call last):"
    )
    assert err.count("ValueError") == err.count("why") == 1
    assert err.endswith("    raise errors[kind](*arguments)\n"), err
    assert set(re.findall(r'File "(.*)", line', err)) == {f"{Path(__file__).parents[1]}/modules/functions/main.py"}


@pytest.mark.slow
def test_a_remote_group_has_the_traceback_of_each_member_once(tmp_path: Path) -> None:
    body = "t = await runner.start('values'); await t.call('fail_many')"
    code, _, err = run(tmp_path, body)
    assert code == 1
    for text in (
        "ExceptionGroup in worker values:0: several",
        "ValueError: bad",
        "status 404",
        "ExceptionGroup: x",
        "[Errno 2] n",
    ):
        assert err.count(text) == 1, err
    assert set(re.findall(r'File "(.*)", line', err)) == {
        str(tmp_path / "main.py"),
        f"{Path(__file__).parents[1]}/modules/values/main.py",
    }


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_users_exception_shows_the_users_frames_only(tmp_path: Path, loop: str) -> None:
    body = """async with runner.start("talker"):
        await asyncio.wait_for(deep(), 10)
async def deep():
    raise ValueError("why")"""
    if loop == "asyncio":
        (tmp_path / "uvloop.py").write_text("raise ImportError")
    code, out, err = run(tmp_path, body)
    assert (code, out) == (1, "")
    frames = re.findall(r'File "(.*)", line (\d+), in (\w+)', err)
    main = str(tmp_path / "main.py")
    assert frames == [(main, "6", "main"), (main, "8", "deep")]
    assert err.startswith("Traceback (most recent call last):")
    assert err.endswith("ValueError: why\n")


def test_groups_and_causes_are_pruned_too(tmp_path: Path) -> None:
    body = """async with asyncio.TaskGroup() as group:
        group.create_task(deep(runner))
        group.create_task(deep(runner))
async def deep(runner):
    try:
        await runner.start("nosuch")
    except StartError as error:
        raise ValueError("why") from error"""
    code, _, err = run(tmp_path, body)
    assert code == 1
    assert "ExceptionGroup" in err
    assert err.count("direct cause of the following exception") == err.count("ValueError: why") == 2
    assert set(re.findall(r'File "(.*)", line', err)) == {str(tmp_path / "main.py")}


@pytest.mark.slow
@pytest.mark.parametrize(
    "body, message",
    [
        ("runner.start('talker', cpus=-1)", "error: cpus=-1 is not a number of CPUs, such as 2 or 0.5\n"),
        (
            "runner.start('talker', env={'N': 1})",
            "error: env={'N': 1}: names and values must be text, names without '='\n",
        ),
    ],
)
def test_an_invalid_option_is_exit_2(tmp_path: Path, body: str, message: str) -> None:
    assert run(tmp_path, body) == (2, "", message)


def test_an_invalid_setting_is_exit_2(tmp_path: Path) -> None:
    message = "error: PARCS_START_TIMEOUT='never' is not a positive number of seconds\n"
    assert run(tmp_path, "pass", PARCS_START_TIMEOUT="never") == (2, "", message)


def test_a_cancelled_program_is_no_signal(tmp_path: Path) -> None:
    code, out, err = run(tmp_path, "raise asyncio.CancelledError")
    assert (code, out) == (1, "")
    assert "CancelledError" in err
    assert "stopped by" not in err


@pytest.mark.slow
@pytest.mark.parametrize("code", ["7", "'what is wrong'", ""])
def test_sys_exit_in_the_program(tmp_path: Path, code: str) -> None:
    body = f"import sys; t = await runner.start('talker'); await t.send(['echo', 1]); await t.recv(); sys.exit({code})"
    expected = {"7": (7, "", ""), "": (0, "", ""), "'what is wrong'": (1, "", "what is wrong\n")}
    assert run(tmp_path, body) == expected[code]


def test_handlers_of_signals_are_restored(tmp_path: Path) -> None:
    main = tmp_path / "main.py"
    main.write_text(
        f"{HEAD}import signal\nasync def main(runner): pass\nrun(main)\n"
        "print(signal.getsignal(2) is signal.default_int_handler, signal.getsignal(15) == signal.SIG_DFL)"
    )
    assert execute(main).stdout == "True True\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.slow
def test_modules_are_beside_the_runners_folder(tmp_path: Path) -> None:
    for name, text in {
        "runner": f"{HEAD}async def main(runner): print(await (await runner.start('one')).recv())\nrun(main)",
        "one": "from aioparcs import Service, serve\nclass One(Service):\n"
        "    async def run(self): await self.send('one')\nserve(One)",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "main.py").write_text(text)
    assert execute(tmp_path / "runner" / "main.py", PARCS_MODULES="").stdout == "one\n"


NOTEBOOK = f"""{HEAD}
async def cell():
    async with Runner() as runner:
        async with runner.start("talker") as t:
            await t.send(["echo", 1])
            return await t.recv()

async def notebook():
    first = await cell()
    print(first, await asyncio.gather(cell(), cell()), asyncio.all_tasks() - {{asyncio.current_task()}})

asyncio.run(notebook())
"""


@pytest.mark.slow
def test_a_notebook_enters_runners_in_its_own_loop_and_finds_modules_in_the_current_folder() -> None:
    done = execute(NOTEBOOK, MODULES, PARCS_MODULES="")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 [1, 1] set()\n", "")


async def test_run_within_a_loop_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match=r"use async with Runner\(\) as runner in it"):
        aioparcs.run(Runner)


@pytest.mark.slow
def test_jobs_in_several_processes_do_not_interfere() -> None:
    with ThreadPoolExecutor(3) as threads:
        done = list(threads.map(lambda _: execute(NOTEBOOK), range(3)))
    assert [(one.returncode, one.stdout, one.stderr) for one in done] == [(0, "1 [1, 1] set()\n", "")] * 3


def test_run_refuses_a_main_that_is_no_coroutine_function(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("from aioparcs import run\n\ndef main(runner):\n    pass\n\nrun(main)\n")
    done = execute(tmp_path / "main.py")
    assert done.returncode == 1
    assert done.stderr == "TypeError: main is a plain function: write async def main(runner)\n"


ASYNC_RUN = "\n    async def run(self): print('called')\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "text, message",
    [
        ("def main(runner): print('called')\nrun(main)", "main is a plain function: write async def main(runner)"),
        (
            "async def main(): print('called')\nrun(main)",
            "main() has to take the runner, and nothing else: .*",
        ),
        ("async def main(r): print('called')\nrun(main(1))", "run() takes the function, not its call: run(main)"),
        (
            "async def main(r): yield print('called')\nrun(main)",
            "main is a generator function, because it contains yield: .*",
        ),
        (f"class M(Runner):{ASYNC_RUN}run(M())", "run() takes the class, not an instance: run(M)"),
        (f"class M:{ASYNC_RUN}run(M)", "run() takes a subclass of Runner, and M is not one: class M(Runner)"),
        (f"class M(Service):{ASYNC_RUN}run(M)", "run() takes a subclass of Runner, and M is not one: serve(M)"),
        ("class M(Runner):\n  def run(self): print('called')\nrun(M)", "M.run is a plain function: write async def .*"),
        ("run(None)", "run() takes async def main(runner), or a subclass of Runner, not None"),
        ("run(lambda runner: None)", "run() takes a coroutine function, but <function <lambda> at .* returned None"),
    ],
)
def test_run_refuses_what_it_cannot_run_before_calling_it(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "main.py").write_text(f"from aioparcs import *\n{text}\n")
    done = execute(tmp_path / "main.py")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch("TypeError: " + re.escape(message).replace(r"\.\*", ".*") + "\n", done.stderr), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("made", ["lambda runner: main(runner, 5)", "functools.partial(main, n=5)", "wrapped(main)"])
def test_any_callable_that_returns_a_coroutine_can_be_run(tmp_path: Path, made: str) -> None:
    (tmp_path / "main.py").write_text(
        "import functools\nfrom aioparcs import run\nasync def main(runner, n=5): print(n)\n"
        f"def wrapped(f):\n    def g(runner): return f(runner, 5)\n    return g\nrun({made})\n"
    )
    assert execute(tmp_path / "main.py").stdout == "5\n"


IN_A_THREAD = f"""{HEAD}
import threading
async def main(runner):
    async with runner.start("talker") as t:
        await t.send(["echo", 1])
        print(await t.recv())
thread = threading.Thread(target=run, args=(main,))
thread.start()
thread.join()
"""


@pytest.mark.slow
def test_a_runner_in_a_thread_runs_without_signals() -> None:
    done = execute(IN_A_THREAD)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


async def test_a_function_of_a_service_may_run_a_runner(tmp_path: Path) -> None:
    text = "from aioparcs import run, serve\nasync def main(runner): print('ran')\n"
    module(tmp_path, "directing", f"{text}def direct(): return run(main)\nserve(direct)")
    recorder = EventRecorder()
    async with job(tmp_path, recorder=recorder) as runner, runner.start("directing") as t:
        assert await t.call("direct") is None
    assert recorder.lines[0] == ["ran"]


@pytest.mark.slow
@pytest.mark.parametrize("display", [True, False])
def test_the_reason_of_a_failed_start_is_printed_once(tmp_path: Path, display: bool) -> None:
    module(tmp_path, "bad", "import nosuch")
    module(tmp_path, "runner", f"{HEAD}async def main(runner):\n    await runner.start_many('bad', 2)\nrun(main)\n")
    if display:
        done = command.run("run", "runner", "--modules", tmp_path, cwd=tmp_path)
    else:
        done = execute(tmp_path / "runner" / "main.py", None, PARCS_MODULES=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.count("No module named 'nosuch'") == 1
    assert done.stderr.count("exit code 1") == 1
    assert "bad did not start: its main.py ended with exit code 1 before it called serve(...); its last" in done.stderr
