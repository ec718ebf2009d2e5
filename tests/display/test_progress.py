"""The progress of pools and long tasks: on a terminal, in a log, and in silence."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from aioparcs.display import Detail
from aioparcs.display.console import Console
from aioparcs.display.view import Pool, RateEstimator, duration, frequency
from aioparcs.events import PoolState
from tests.support.command import COMMAND, in_terminal, run, visible
from tests.support.jobs import EventRecorder, execute, job, module
from tests.support.scripts import Plain, Script, StillClock, live
from tests.support.waiting import until

DIVISORS = PoolState(0, "divisors", 0, 0, 20_000, 8, 8, 8)


# Pace


def test_the_pace_is_that_of_the_last_seconds() -> None:
    pace = RateEstimator(0, 0)
    for second in range(1, 101):
        pace.reach(second, 10 * second, 1)
    assert pace.rate(100) == 10
    for second in range(101, 107):
        pace.reach(second, 1000 + 500 * (second - 100), 1)
    assert pace.rate(106) == 500
    assert pace.left(106, 5000) == 2


def test_bursts_have_an_even_pace() -> None:
    pace = RateEstimator(0, 0)
    for burst in range(1, 6):  # eight workers, a minute for an item
        for i in range(8):
            pace.reach(60 * burst + i / 100, 8 * (burst - 1) + i + 1, 32)
        for silent in (0.1, 20, 50):
            assert pace.rate(60 * burst + silent) == pytest.approx(8 / 60, rel=0.25)
    assert pace.left(301, 80) == pytest.approx(299, rel=0.25)


def test_a_long_silence_counts() -> None:
    pace = RateEstimator(0, 0)
    for second in range(1, 11):
        pace.reach(second, second, 1)
    assert [pace.rate(now) for now in (10, 15, 20, 60)] == [1, 1, 0.5, 0.1]


def test_the_pace_restarts_when_the_fraction_shrinks() -> None:
    pace = RateEstimator(0, 0.0)
    pace.reach(1, 0.5, 0.05)
    pace.reach(2, 0.1, 0.05)
    assert (pace.rate(2), pace.left(2, 1.0)) == (0.0, None)
    pace.reach(3, 0.2, 0.05)
    assert pace.left(3, 1.0) == pytest.approx(8)


def test_what_is_long_overdue_has_no_time_left_that_is_known() -> None:
    pace = RateEstimator(0, 0)
    for second in range(1, 11):
        pace.reach(second, 10 * second, 40)
    assert pace.left(10, 101) == pytest.approx(0.1)
    assert pace.left(11, 101) == 0
    assert pace.left(20, 101) is None, "the last item takes its time"
    pace.reach(21, 101, 40)
    assert pace.left(21, 200) is not None


@pytest.mark.slow
def test_a_pace_uses_bounded_memory() -> None:
    pace = RateEstimator(0, 0)
    for tenth in range(1, 200_000):
        pace.reach(tenth / 10, tenth, 1e9)
    assert len(pace._marks) < 1000
    assert pace.rate(20_000) == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize(
    "seconds, text",
    [(0.2, "1 s"), (12.3, "12 s"), (99.6, "2 min"), (3000, "50 min"), (12_000, "3 h 20 min"), (180_000, "2 d 2 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    "rate, text",
    [(12_345.6, "12,346/s"), (12, "12/s"), (9.96, "10/s"), (2.54, "2.5/s"), (0.5, "30/min"), (0.002, "7.2/h")],
)
def test_frequencies(rate: float, text: str) -> None:
    assert frequency(rate) == text


# In a log


def test_a_log_has_a_line_for_each_quarter_of_a_pool_and_for_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    display = Plain()
    state = display.work(DIVISORS, 4, 1000)
    state = display.work(state._replace(failed=3), 6, 1000)
    state = display.work(state._replace(repeats=4), 10, 1000)
    display.pool(state._replace(workers=0, wanted=0))
    display.display.close()
    assert capsys.readouterr().err.splitlines() == [
        "divisors: 5,000 of 20,000 items, 1,000/s, 15 s left, 8 workers, 3 failed",
        "divisors: 10,000 of 20,000 items, 1,000/s, 10 s left, 8 workers, 3 failed",
        "divisors: 15,000 of 20,000 items, 1,000/s, 5 s left, 8 workers, 3 failed, 4 retried",
        "divisors: 20,000 of 20,000 items in 20.0 s, 1,000/s, 8 workers, 3 failed, 4 retried",
    ]


@pytest.mark.slow
def test_a_log_has_ever_fewer_lines_for_a_pool_of_unknown_total(capsys: pytest.CaptureFixture[str]) -> None:
    display = Plain()
    state = display.work(DIVISORS._replace(total=None, workers=6), 3600, 10)
    display.pool(state._replace(wanted=0))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "divisors: 50 items, 10/s, 6 of 8 workers"
    assert lines[-1] == "divisors: 36,000 items in 60 min, 10/s, 6 workers"
    assert 15 < len(lines) < 25


def test_thousands_of_short_pools_are_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    display = Plain()
    display.request("divisors", range(8))
    for number in range(5000):
        display.clock.time += 0.01
        display.pool(DIVISORS._replace(id=number, done=10, total=10, failed=number % 2, running=0, wanted=0))
    display.display.close()
    lines = capsys.readouterr().err.splitlines()[1:]
    assert lines[:5] == [
        f"divisors: 10 of 10 items in 1 ms, 10,000/s, 8 workers{', 1 failed' * (i % 2)}" for i in range(5)
    ]
    sums = [line.split(" ", 1) for line in lines[5:-1]]
    assert sum(int(number.replace(",", "")) for number, _ in sums) == 4995
    assert len(sums) < 6
    assert all(" more pools over: " in f" {text}" and " items, " in text for _, text in sums)


def test_a_quiet_display_shows_only_failures(capsys: pytest.CaptureFixture[str]) -> None:
    display = Plain(Detail.QUIET)
    display.work(DIVISORS, 20, 1000)
    display.pool(DIVISORS._replace(wanted=0, done=20_000))
    display.pool(DIVISORS._replace(id=1, wanted=0, done=20_000, failed=3))
    display.display.close()
    assert capsys.readouterr().err == "divisors: 3 of 20,000 items failed\n"


def test_an_idle_pool_has_one_line_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    display = Plain()
    state = display.work(DIVISORS, 20, 1000)._replace(running=0)
    display.work(state, 600, 0)
    assert capsys.readouterr().err.count("20,000 of 20,000 items, 8 workers\n") == 1


def test_a_log_shows_how_long_a_task_will_take(capsys: pytest.CaptureFixture[str]) -> None:
    display = Plain()
    display.request("reporting", range(1))
    for second in range(20):
        display.clock.time = second
        display.progress("reporting", 0, second, 40)
        display.display._print_counts()
    assert capsys.readouterr().err.splitlines() == [
        "reporting: starting 1 worker",
        "reporting: 12 %, 35 s left",
        "reporting: 25 %, 30 s left",
    ]


# On a terminal


def test_a_terminal_has_a_row_for_each_pool() -> None:
    with live() as display:
        display.request("divisors", range(8))
        display.connect("divisors", *range(8))
        display.pool(DIVISORS._replace(id=1, name="endless", total=None, workers=6))
        state = display.work(DIVISORS._replace(failed=3), 6, 1000)
        assert display.shown() == [
            "divisors 8 workers connected",
            "endless 0 6 of 8 workers",
            "divisors 6,000 of 20,000 3 failed 14 s left 1,000/s 8 workers",
            "6.0 s",
        ]
        assert display.shown(80)[2] == "divisors 6,000 of 20,000 3 failed 14 s left 1,000/s 8 workers"
        display.pool(state._replace(wanted=0))
        assert display.shown()[1] == "divisors 6,000 of 20,000 3 failed in 6.0 s 1,000/s 8 workers"


def test_a_terminal_keeps_the_last_few_pools_that_are_over() -> None:
    with live() as display:
        for number in range(5000):
            display.pool(DIVISORS._replace(id=number, done=number))
            display.clock.time += 1
            display.pool(DIVISORS._replace(id=number, done=number, wanted=0))
        display.pool(DIVISORS._replace(id=5000))
        shown = display.shown()
        assert [line.split()[1] for line in shown[:-2]] == ["4,995", "4,996", "4,997", "4,998", "4,999", "0"]
        assert shown[-2] == "4,995 more pools"


def test_a_terminal_shows_how_long_a_task_will_take() -> None:
    with live() as display:
        display.request("reporting", range(1))
        display.connect("reporting", 0)
        for second in range(11):
            display.clock.time = second
            display.progress("reporting", 0, second, 40)
        assert display.shown()[0] == "reporting 25% 1 worker connected 30 s left"
        display.exit("reporting", 0, "was killed by SIGKILL")
        assert display.shown()[0] == "reporting 25% 1 worker failed"


def test_a_pool_waits_for_its_workers_without_a_pace() -> None:
    pool = Pool(DIVISORS._replace(workers=0), 0)
    pool.update(DIVISORS._replace(workers=0), 50)
    pool.update(DIVISORS, 51)
    pool.update(DIVISORS._replace(done=100), 52)
    assert pool.line(52) == "divisors: 100 of 20,000 items, 50/s, 7 min left, 8 workers"


# A program that is run by itself


def test_a_program_without_a_display_logs_its_pools(capsys: pytest.CaptureFixture[str]) -> None:
    console = Script(Console(progress=True), StillClock())
    state = console.work(DIVISORS, 6, 1000)
    console.pool(state._replace(wanted=0))
    for number in range(1, 100):
        console.pool(DIVISORS._replace(id=number, done=10, wanted=0))
    assert capsys.readouterr().err.splitlines() == [
        "divisors: 5,000 of 20,000 items, 1,000/s, 15 s left, 8 workers",
        "divisors: 6,000 of 20,000 items in 6.0 s, 1,000/s, 8 workers",
    ]
    Script(Console(progress=False), StillClock()).work(DIVISORS, 20, 1000)
    assert capsys.readouterr().err == ""


REPORTING = """
from aioparcs import Service, serve

class Reporting(Service):
    async def run(self):
        for done in range(4):
            self.progress(done, 4)
            await self.recv()

serve(Reporting)
"""
STANDALONE = """
import sys
from aioparcs import run

async def main(runner):
    async with runner.start("reporting") as task:
        await task.send_all(1, 2, 3)
        print("on standard output")
        print("on standard error", file=sys.stderr)
        await task.send(4)

run(main)
print("after", "rich" in sys.modules)
"""


@pytest.fixture
def standalone(tmp_path: Path) -> Path:
    """Write a program with one worker that reports its progress; return its main.py."""
    module(tmp_path, "reporting", REPORTING)
    return module(tmp_path, "standalone", STANDALONE) / "standalone" / "main.py"


def run_in_terminal(program: Path, **env: Any) -> tuple[int, str]:
    """Run a program by itself in a terminal."""
    return in_terminal(program, command=[sys.executable], **env)


@pytest.mark.slow
def test_a_program_by_itself_draws_on_a_terminal(standalone: Path) -> None:
    code, written = run_in_terminal(standalone)
    assert code == 0
    text = visible(written)
    assert "on standard output\n" in text
    assert "on standard error\n" in text
    assert "100%  1 worker finished" in text
    assert re.search(r"\n\d+\.\d s\nafter True\n$", text)
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor is hidden"


@pytest.mark.slow
@pytest.mark.parametrize("env", [{"PARCS_PROGRESS": "off"}, {"TERM": "dumb"}], ids=["off", "dumb"])
def test_a_program_by_itself_draws_nothing(standalone: Path, env: dict[str, str]) -> None:
    loaded = "True" if "TERM" in env else "False"
    assert run_in_terminal(standalone, **env) == (0, f"on standard output\non standard error\nafter {loaded}\n")


@pytest.mark.slow
def test_a_program_by_itself_in_a_log_is_silent_and_loads_nothing_to_draw(standalone: Path) -> None:
    done = execute(standalone, PARCS_MODULES="")
    assert (done.stdout, done.stderr) == ("on standard output\nafter False\n", "on standard error\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "end, code, message",
    [
        ("raise ValueError('why')", 1, "ValueError: why"),
        ("import os; os.kill(os.getpid(), 2); await task.recv()", 130, "stopped by SIGINT"),
        ("sys.exit(7)", 7, ""),
    ],
)
def test_a_program_by_itself_leaves_the_terminal_as_it_was(standalone: Path, end: str, code: int, message: str) -> None:
    standalone.write_text(STANDALONE.replace("await task.send(4)", end))
    returned, written = run_in_terminal(standalone)
    assert returned == code
    assert re.search(rf" s\n(.*\n)*{message}\n?$", visible(written)), "it is said beneath the display"
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")
    assert "/aioparcs/" not in written


def test_an_invalid_parcs_progress_is_exit_2(standalone: Path) -> None:
    done = execute(standalone, PARCS_PROGRESS="of")
    assert (done.returncode, done.stderr) == (2, "error: PARCS_PROGRESS='of' is neither 'on' nor 'off'\n")


@pytest.mark.slow
def test_a_program_with_a_display_gets_no_second_one(standalone: Path) -> None:
    code, written = in_terminal("run", standalone.parent, PARCS_PROGRESS="off")
    assert code == 0
    assert len(re.findall(r"100%  1 worker finished\n\d+\.\d s\n$", visible(written))) == 1


# A real pool

ODD = """
from aioparcs import serve

def odd(n):
    if n % 2 == 0:
        raise ValueError("even")
    return n

serve(odd)
"""
POOLING = """
from aioparcs import run

async def main(runner):
    async with runner.pool("odd", 2) as pool:
        odd = await pool.map(range(10), return_exceptions=True)
        print(sum(isinstance(one, int) for one in odd))
    async with runner.pool("odd", 1, progress="one by one") as pool:
        async for n in pool.imap(n for n in (1, 3, 5)):
            pass
    async with runner.pool("odd", 1, progress=False) as pool:
        await pool.map([1])

run(main)
"""


@pytest.fixture
def pooling(tmp_path: Path) -> Path:
    """Write a program with pools, and return its folder."""
    module(tmp_path, "odd", ODD)
    return module(tmp_path, "pooling", POOLING) / "pooling"


def item_lines(written: str) -> list[str]:
    """Leave the lines about items, without times and rates."""
    lines = (" ".join(re.sub(r"[\d.,]+(?: m?s|/\w+)\b|━", "", line).split()) for line in written.splitlines())
    return [line for line in lines if re.search(r"\bin\b", line)]


@pytest.mark.slow
def test_a_log_shows_real_pools(pooling: Path) -> None:
    done = run("run", pooling)
    assert (done.returncode, done.stdout) == (0, "5\n")
    assert item_lines(done.stderr) == [
        "odd: 10 of 10 items in , , 2 workers, 5 failed",
        "one by one: 3 items in , , 1 worker",
    ]
    assert done.stderr.count("odd: 10 of 10") == 1


@pytest.mark.slow
def test_a_quiet_display_shows_only_the_failed_items_of_a_real_pool(pooling: Path) -> None:
    done = run("run", "-q", pooling)
    assert (done.returncode, done.stdout, done.stderr) == (0, "5\n", "odd: 5 of 10 items failed\n")


@pytest.mark.slow
@pytest.mark.parametrize("command", [[*COMMAND, "run"], [sys.executable]], ids=["aioparcs run", "python"])
def test_a_terminal_shows_real_pools(pooling: Path, command: list[str]) -> None:
    code, written = in_terminal(pooling if "run" in command else pooling / "main.py", command=command)
    assert code == 0
    text = visible(written)
    assert re.search(r"(^|[\r\n])5\n", text)
    assert re.search(r"[\r\n]odd +4 workers finished *\n", text)
    assert item_lines(text)[-2:] == ["odd 10 of 10 5 failed in 2 workers", "one by one 3 in 1 worker"]


@pytest.mark.slow
def test_a_program_without_a_display_logs_no_short_pools(pooling: Path) -> None:
    done = execute(pooling / "main.py", PARCS_MODULES="")
    assert (done.returncode, done.stdout, done.stderr) == (0, "5\n", "")


async def test_a_pool_reports_its_last_results_before_it_is_over() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.pool("functions", 2) as pool:
        await pool.map(range(100), function="add")
        await until(
            lambda: recorder.events[-1] == ("pooled", PoolState(pool._progress.id, "functions", 100, 0, 100, 0, 2, 2))
        )


async def test_a_pool_reports_its_progress_while_no_result_comes(tmp_path: Path) -> None:
    recorder, go = EventRecorder(), tmp_path / "go"
    async with job(recorder=recorder) as runner, runner.pool("functions", 1) as pool:
        waiting = pool.submit(str(go), function="wait_for")
        state = PoolState(pool._progress.id, "functions", 0, 0, 1, 1, 1, 1)
        await until(lambda: recorder.events.count(("pooled", state)) >= 3)
        go.touch()
        await waiting
        await until(lambda: recorder.events[-1] == ("pooled", state._replace(done=1, running=0)))
