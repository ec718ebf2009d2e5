"""The local engine: two hundred workers, where modules are, and nothing left of a job, however it ends."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from aioparcs import Runner, StartError
from aioparcs.modules import module_folders
from tests.support.jobs import ENVIRONMENT, MODULES, EventRecorder, execute, family, gone, job, live, module, program
from tests.support.waiting import until

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

MANY = 200


def listening(name: str) -> bool:
    """Return whether a name is taken in the abstract namespace."""
    return name in Path("/proc/net/unix").read_text()


@pytest.mark.untraced
async def test_two_hundred_workers_at_once_answer_and_are_small() -> None:
    async with job() as runner:
        tasks = await runner.start_many("probe", MANY)
        answers = await asyncio.gather(*(t.call("who") for t in tasks))
        assert len({pid for pid, _, _ in answers}) == MANY
        assert len({launcher for _, launcher, _ in answers}) == 1
        processes = family()
        assert len(processes) == MANY + 2
        private = [_private(pid) for pid, _, _ in answers]
        assert max(private) < 5 << 20
    assert not live(processes)


def _private(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(size) << 10 for size in re.findall(r"Private_(?:Clean|Dirty): +(\d+) kB", text))


async def test_two_hundred_starts_at_once_answer() -> None:
    async with job() as runner:
        tasks = await asyncio.gather(*(runner.start("probe") for _ in range(MANY)))
        answers = await asyncio.gather(*(t.call("who") for t in tasks))
    assert len({pid for pid, _, _ in answers}) == MANY
    assert len({launcher for _, launcher, _ in answers}) == 1


NAME = """
import os
from aioparcs import serve
runner = os.environ["PARCS_RUNNER"].removeprefix("unix:")
def name():
    return runner
serve(name)
"""


async def test_nothing_is_left_of_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    async with job(module(tmp_path, "name", NAME)) as runner, runner.start_many("name", 3) as tasks:
        name = await tasks[0].call("name")
        assert listening(name)
        processes = family()
    assert not live(processes)
    assert not listening(name)
    assert not os.listdir(temporary)


RUNNING = """
from aioparcs import run
async def main(runner):
    tasks = await runner.start_many("name", 3)
    await runner.start_many("name", 2, env={"OTHER": "1"})
    print(await tasks[0].call("name"), flush=True)
    await tasks[0].recv()
run(main)
"""


async def test_nothing_is_left_of_a_job_whose_runner_is_killed(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    modules = module(tmp_path, "name", NAME)
    with program(RUNNING, TMPDIR=str(temporary), PARCS_MODULES=str(modules)) as runner:
        assert runner.stdout
        name = (await asyncio.to_thread(runner.stdout.readline)).strip()
        assert listening(name)
        processes = family(runner.pid)
        assert len(processes) == 2 * 2 + 5
        runner.kill()
        await gone(processes)
        await until(lambda: not listening(name))
    assert not os.listdir(temporary)


FIVE = """
import asyncio
from aioparcs import run
async def main(runner):
    async with runner.start_many("probe", 5) as tasks:
        print(len({pid for pid, _, _ in await asyncio.gather(*(t.call("who") for t in tasks))}))
run(main)
"""


async def test_two_programs_at_once_do_not_interfere() -> None:
    done = await asyncio.gather(*(asyncio.to_thread(execute, FIVE) for _ in range(3)))
    assert [(one.returncode, one.stdout, one.stderr) for one in done] == [(0, "5\n", "")] * 3


# Where modules are


WHERE = "from aioparcs import serve\ndef where():\n    return __file__\nserve(where)\n"
ASK = """
import sys
from aioparcs import Runner, run
async def main(runner):
    async with runner.start("found") as t:
        print(await t.call("where"))
run(main)
"""


def test_modules_are_beside_the_runners_folder(tmp_path: Path) -> None:
    module(tmp_path, "found", WHERE)
    main = module(tmp_path, "runner", ASK) / "runner" / "main.py"
    done = execute(main, PARCS_MODULES="")
    assert (done.stdout, done.stderr) == (f"{tmp_path}/found/main.py\n", "")


def test_modules_are_found_in_parcs_modules_first_match_first(tmp_path: Path) -> None:
    first, second = module(tmp_path / "1", "other", WHERE), module(tmp_path / "2", "found", WHERE)
    third = module(tmp_path / "3", "found", WHERE)
    nowhere = tmp_path / "nowhere"
    main = module(tmp_path / "4", "runner", ASK) / "runner" / "main.py"
    done = execute(main, PARCS_MODULES=os.pathsep.join(map(str, (nowhere, first, second, third))))
    assert done.stdout == f"{second}/found/main.py\n"


def test_without_a_file_modules_are_in_the_current_folder(tmp_path: Path) -> None:
    module(tmp_path, "found", WHERE)
    done = execute(f"import os\nos.chdir({str(tmp_path)!r})\n{ASK}", PARCS_MODULES="")
    assert done.stdout == f"{tmp_path}/found/main.py\n"


def test_a_script_has_its_modules_beside_it_or_in_the_folder_above(tmp_path: Path) -> None:
    scripts = module(tmp_path / "scripts", "found", WHERE)
    for script in (scripts / "scale.py", scripts / "deeper" / "scale.py"):
        script.parent.mkdir(exist_ok=True)
        script.write_text(ASK)
        done = execute(script, PARCS_MODULES="")
        assert (done.stdout, done.stderr) == (f"{scripts}/found/main.py\n", "")


def test_programs_that_run_others_do_not_hide_where_modules_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module(tmp_path, "found", WHERE)
    main = module(tmp_path, "runner", ASK) / "runner" / "main.py"
    done = subprocess.run(
        [sys.executable, "-m", "cProfile", "-o", os.devnull, str(main)],
        cwd="/",
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == (f"{tmp_path}/found/main.py\n", "")

    # The program that runs is pytest, which lies among modules of its own.
    monkeypatch.delenv("PARCS_MODULES", raising=False)
    monkeypatch.chdir(tmp_path)
    assert module_folders() == [tmp_path, tmp_path.parent]


async def test_one_folder_may_hold_all_modules() -> None:
    for folder in (MODULES, str(MODULES)):
        async with Runner(modules=folder) as runner, runner.start("probe") as t:
            assert await t.call("who")


async def test_a_module_with_a_similar_name_is_proposed(tmp_path: Path) -> None:
    module(tmp_path, "divisors", WHERE)
    message = rf"in {tmp_path} or {MODULES}; did you mean divisors\? there are: .*Runner\(modules=\[\.\.\.\]\)"
    async with job(tmp_path, MODULES) as runner:
        with pytest.raises(StartError, match=message):
            await runner.start("divisor")


async def test_a_module_that_is_nowhere_lists_those_that_are_there(tmp_path: Path) -> None:
    for folders, others in (([tmp_path], "there are no modules"), ([MODULES, tmp_path], ", talker")):
        async with job(*folders) as runner:
            for name in ("nowhere", "..", "."):
                with pytest.raises(StartError, match=re.escape(others)):
                    await runner.start(name)


# What launchers print, and what they are given


async def test_the_lines_of_a_launcher_are_shown_as_they_come(tmp_path: Path) -> None:
    text = """
import sys
from aioparcs import serve
print("one\\ntwo", end="", flush=True)
print("\\rthree\\rfour", flush=True)
sys.stdout.buffer.write(b"\\xff\\n" + b"x" * 20000 + b"\\n")
serve(print)
"""
    recorder = EventRecorder()
    async with job(module(tmp_path, "printing", text), recorder=recorder) as runner, runner.start("printing"):
        await until(lambda: len(recorder.lines.get(None, [])) >= 6)
    # A line is what a terminal would show in the end; a very long one comes in pieces.
    assert recorder.lines[None][:3] == ["one", "four", "\ufffd"]
    assert "".join(recorder.lines[None][3:]) == "x" * 20000


async def test_a_launcher_runs_in_its_folder_with_no_input_and_no_secret(tmp_path: Path) -> None:
    text = """
import os, sys
from aioparcs import serve
at_top = [os.getcwd(), sys.stdin.read()]
def seen():
    with open("/proc/self/environ") as environ, open("/proc/self/cmdline") as command:
        visible = environ.read() + command.read()
    return [*at_top, sys.stdin.read(), visible, sorted(name for name in os.environ if name.startswith("PARCS_"))]
serve(seen)
"""
    async with job(module(tmp_path, "seeing", text)) as runner, runner.start("seeing", env={"COLOUR": "blue"}) as t:
        folder, top_input, worker_input, visible, names = await t.call("seen")
        token = runner._job.registry.token
    assert (folder, top_input, worker_input) == (str(tmp_path / "seeing"), "", "")
    assert "COLOUR=blue" in visible
    assert token.hex() not in visible
    assert names == ["PARCS_JOB"]


async def test_a_launcher_has_a_session_of_its_own() -> None:
    # Ctrl-C in a terminal is the runner's affair: it ends its launchers gracefully.
    async with job() as runner, runner.start("probe") as t:
        pid, launcher, _ = await t.call("who")
        assert os.getsid(launcher) == os.getsid(pid) == launcher
        assert os.getpgid(pid) == pid


# Awkward machines


FEW = """
import asyncio
from aioparcs import StartError, run
async def main(runner):
    try:
        await runner.start_many("probe", 200)
    except StartError as error:
        print(error)
    async with runner.start_many("probe", 20) as tasks:
        print(len(await asyncio.gather(*(t.call("who") for t in tasks))))
run(main)
"""


def limited(command: str, text: str) -> "subprocess.CompletedProcess[str]":
    """Run a runner's text in a shell that has set limits first."""
    shell = ["sh", "-c", f'{command}; exec "$0" -c "$1"', sys.executable, text]
    return execute(f"import os\nos.execvp('sh', {shell!r})")


def test_too_few_open_files_for_a_runner_is_an_error_and_fewer_workers_work() -> None:
    done = limited("ulimit -n 64", FEW)
    refusal, answers = done.stdout.splitlines()
    assert re.fullmatch(
        r"probe did not start: 200 workers need about \d+ open files, and this process may have 64: "
        r"raise the limit \(ulimit -n\) or start fewer",
        refusal,
    )
    # On a machine with other work their end takes long enough for a note.
    assert [line for line in done.stderr.splitlines() if "waiting for 20 workers to finish" not in line] == []
    assert (answers, done.returncode) == ("20", 0)


NONE = """
import os
from aioparcs import StartError, run
async def main(runner):
    free = []
    try:
        while True:
            free.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    for number in range(5):  # as many as it takes to get further
        try:
            await runner.start("probe")
        except StartError as error:
            print(error)
        os.close(free.pop())
    for descriptor in free:
        os.close(descriptor)
    async with runner.start("probe") as t:
        print(bool(await t.call("who")))
run(main)
"""


def test_no_open_file_left_for_a_start_is_an_error_and_later_starts_work() -> None:
    done = limited("ulimit -n 64", NONE)
    *refusals, answer = done.stdout.splitlines()
    limit = "this process has reached its limit of 64 open files (RLIMIT_NOFILE): raise the limit"
    assert len(refusals) > 2
    assert all(refusal.startswith("probe did not start: ") and limit in refusal for refusal in refusals)
    assert (answer, done.stderr, done.returncode) == ("True", "", 0)


@pytest.mark.parametrize("count", [25, 29, 60])
async def test_too_few_open_files_for_a_launcher_is_an_error_and_the_others_work(tmp_path: Path, count: int) -> None:
    # The module lowers its own limit: to the fork server a few files for each worker, to its agent one each.
    text = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))
from aioparcs import serve
serve(abs)
"""
    async with job(module(tmp_path, "narrow", text)) as runner:
        tasks = await runner.start_many("narrow", count, return_exceptions=True)
        errors = [t for t in tasks if isinstance(t, StartError)]
        assert 4 < len(tasks) - len(errors) < 30
        for error in errors:
            assert re.search(r"its launcher may have 30 .*\(ulimit -n\): raise the limit or start fewer", str(error))
        for t in tasks:
            if not isinstance(t, StartError):
                assert await t.call("abs", -1) == 1
                await t.shutdown()
        async with runner.start("narrow") as t:  # there is room again
            assert await t.call("abs", -1) == 1


def test_a_temporary_folder_that_is_full_or_missing_changes_nothing(tmp_path: Path) -> None:
    for folder in ("/dev/full", str(tmp_path / "missing"), "/proc"):
        done = execute(FIVE, TMPDIR=folder)
        assert (done.stdout, done.stderr) == ("5\n", "")


async def test_a_launcher_that_is_killed_while_it_starts_fails_the_start(tmp_path: Path) -> None:
    text = "import os, time\nopen('loads', 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
    async with job(module(tmp_path, "slow", text)) as runner:
        starting = asyncio.ensure_future(runner.start("slow"))
        await until(lambda: (tmp_path / "slow" / "loads").exists() and (tmp_path / "slow" / "loads").read_text())
        psutil.Process(int((tmp_path / "slow" / "loads").read_text())).kill()
        with pytest.raises(StartError, match=r"its main\.py was killed by SIGKILL before it called serve"):
            await starting


@pytest.mark.parametrize("is_idle", [False, True])
async def test_a_lost_launcher_gets_no_requests_and_is_killed(is_idle: bool) -> None:
    async with job(liveness=1.0) as runner:
        first = await runner.start("probe")
        _, launcher, _ = await first.call("who")
        if is_idle:
            await first.shutdown()
        stopped = [psutil.Process(launcher), *family(launcher)]
        for process in stopped:
            process.suspend()
        with pytest.raises(StartError, match="its host was silent for 1 s"):
            await runner.start("probe")
        second = await runner.start("probe")
        assert (await second.call("who"))[1] != launcher
        await gone(stopped)
