"""The output of a run: on a terminal, elsewhere, quietly and in detail."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from aioparcs.display.view import JobView
from aioparcs.events import WorkerExited, WorkerProgress, WorkersRequested
from tests.support.command import EXAMPLES, in_terminal, run, visible

pytestmark = pytest.mark.slow

Project = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Write a module's main.py, and return its folder."""

    def make(text: str, folder: str = "runner") -> Path:
        made = tmp_path / folder
        made.mkdir(parents=True)
        (made / "main.py").write_text(text)
        return made

    return make


def factor(*arguments: str) -> list[str | Path]:
    return ["run", "runner", "--modules", EXAMPLES, "-e", "N=360", "-e", "P=3", *arguments]


DIVISORS = (
    "360 has 24 divisors: 1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 15, 18, 20, 24, 30, 36, 40, 45, 60, 72, 90, 120, 180, 360"
)


def test_without_a_terminal_lines_go_to_stderr() -> None:
    done = run(*factor())
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == DIVISORS
    # On a busy machine also what a start waits for, and the progress.
    lines = [line for line in done.stderr.splitlines() if not line.endswith(" %") and " wait" not in line]
    assert lines[:3] == ["factor: starting 3 workers", "factor: 3 of 3 connected", "factor: 3 workers finished"]
    assert re.fullmatch(r"3 workers, \d+\.\d s", lines[3])
    assert "\x1b" not in done.stderr


FAILING = """
import asyncio, os, signal
from aioparcs import run
async def main(runner):
    await runner.start("factor")
    {end}
run(main)
"""


@pytest.mark.parametrize(
    "end, code, first",
    [
        ("open('missing')", 1, "Traceback"),
        ("await runner.start('missing')", 1, "error ("),
        ("os.kill(os.getpid(), signal.SIGTERM)\n    await asyncio.sleep(60)", 143, "stopped by"),
    ],
)
def test_events_before_the_end_are_printed_before_its_reason(project: Project, end: str, code: int, first: str) -> None:
    done = run("run", project(FAILING.format(end=end)), "--modules", EXAMPLES)
    lines = [line for line in done.stderr.splitlines() if line != "stopping" and " wait" not in line]
    assert done.returncode == code
    assert lines[:2] == ["factor: starting 1 worker", "factor: 1 of 1 connected"]
    reason = lines.index(next(line for line in lines if line.startswith(first)))
    assert reason >= 2
    assert all(line.startswith(("factor: ", "runner: ")) for line in lines[:reason]), "the summary comes after it"
    assert done.stderr.count("factor: starting 1 worker") == 1


def test_quiet_leaves_what_the_runner_prints() -> None:
    done = run(*factor("-q"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == DIVISORS


def test_verbose_follows_each_worker() -> None:
    done = run(*factor("-v"))
    for worker in range(3):
        for event in ("starting", "connected at", "ended at"):
            assert done.stderr.count(f"factor:{worker} {event}") == 1


PRINTING = """
import os
from aioparcs import Runner, run

async def main(runner: Runner) -> None:
    async with runner.start("noisy") as task:
        print("[bold]runner[/bold]", await task.recv())
    print("no end of line", end="")

run(main)
"""
NOISY = """
from aioparcs import Service, serve

class Noisy(Service):
    async def run(self):
        print("[red]not markup[/red]\\x1b[2J")
        await self.send("heard")

serve(Noisy)
"""


def test_a_terminal_shows_the_live_display_and_the_prints_above_it(project: Project) -> None:
    project(NOISY, "noisy")
    code, written = in_terminal("run", project(PRINTING))
    assert code == 0
    text = visible(written)
    assert "[bold]runner[/bold] heard\n" in text
    assert "no end of line\n" in text
    assert "noisy:0 | [red]not markup[/red]\n" in text
    assert "━" in text
    assert "100%  1 worker finished\n" in text
    assert re.search(r"\n\d+\.\d s\n$", text)
    assert "\x1b[2J" not in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor is hidden"


def test_a_terminal_with_stdout_elsewhere_keeps_stdout_clean() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdout:
        with os.fdopen(writing, "w") as pipe:
            code, written = in_terminal(*factor(), stdout=pipe.fileno())
        assert stdout.readline() == f"{DIVISORS}\n"
    assert code == 0
    assert "3 workers finished" in visible(written)
    assert DIVISORS not in written


def test_no_color_is_honoured() -> None:
    code, written = in_terminal(*factor(), NO_COLOR="1")
    assert code == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", written)


def test_a_traceback_is_shown_whole_and_the_cursor_comes_back(project: Project) -> None:
    text = PRINTING.replace('print("[bold]runner[/bold]", await task.recv())', "raise ValueError('no')")
    project(NOISY, "noisy")
    code, written = in_terminal("run", project(text))
    assert code == 1
    assert "ValueError: no" in visible(written)
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


KILLED = """
import os, signal
from aioparcs import Service, serve

class Killed(Service):
    async def run(self):
        await self.recv()
        os.kill(os.getpid(), signal.SIGKILL)

serve(Killed)
"""
LOSING = """
from aioparcs import Runner, WorkerLost, run

async def main(runner: Runner) -> None:
    async with runner.start_many("killed", 3) as tasks:
        await tasks[1].send("die")
        try:
            await tasks[1].recv()
        except WorkerLost:
            print("lost one")
        await tasks[0].send("die")

run(main)
"""


@pytest.mark.parametrize("quiet", [False, True])
def test_a_worker_that_is_lost_is_named_even_quietly(project: Project, quiet: bool) -> None:
    project(KILLED, "killed")
    done = run("run", project(LOSING), *(["-q"] if quiet else []))
    assert (done.returncode, done.stdout) == (0, "lost one\n")
    lost = [f"killed:{worker} was killed by SIGKILL" for worker in (1, 0)]
    lines = [line for line in done.stderr.splitlines() if line in lost]
    assert lines == lost
    if quiet:
        assert done.stderr.splitlines() == lost
    else:
        assert "killed: 3 workers ended, 2 failed" in done.stderr
        assert "3 workers, 2 failed, " in done.stderr


def test_warnings_are_shown_even_quietly(project: Project) -> None:
    runner = project("from aioparcs import run\nasync def main(runner): pass\nrun(main)\n")
    done = run("run", "-q", runner, PARCS_LIVENES="1")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "runner: PARCS_LIVENES is not a setting; did you mean PARCS_LIVENESS?\n"


def test_the_fraction_sums_the_progress_of_all_workers() -> None:
    view = JobView()
    assert view.of("factor").fraction == 0
    view.apply(WorkersRequested(0, "factor", range(4)))
    view.apply(WorkerProgress(1, "factor", 0, 5, 10))
    assert view.of("factor").fraction == 0.125
    view.apply(WorkerProgress(2, "factor", 0, 10, 10))
    view.apply(WorkerProgress(3, "factor", 1, 3, 0))
    for worker, error in enumerate((None, "was killed", None)):
        view.apply(WorkerExited(4, "factor", worker, error))
    assert view.of("factor").fraction == 0.5
    assert view.summary(4.21) == "4 workers, 1 failed, 4.2 s"
