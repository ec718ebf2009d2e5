"""The table of workers and pools in a display: on narrow terminals, after clean ends and failures."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from aioparcs.events import PoolState
from tests.support.command import in_terminal, run, visible
from tests.support.jobs import module
from tests.support.scripts import Live, Plain, live

SEARCH = PoolState(0, "hyperparameter search (digits)", 0, 0, 60, 2, 2, 2)


@pytest.fixture
def live_display() -> Iterator[Live]:
    with live() as script:
        yield script


def searching(live_display: Live, **changes: Any) -> None:
    """Complete 10 items of a pool in each second."""
    state = SEARCH._replace(**changes)
    live_display.pool(state)
    for tenth in range(1, 53):
        live_display.clock.time = tenth / 10
        live_display.pool(state._replace(done=tenth, failed=tenth // 4))


def start(live_display: Live, name: str, *workers: int) -> None:
    """Request workers, and connect them."""
    live_display.request(name, range(workers[0], workers[-1] + 1))
    live_display.connect(name, *workers)


@pytest.mark.parametrize(
    "width, row",
    [
        (100, "hyperparameter search (digits) ━ 52 of 60 13 failed 1 s left 10/s"),
        (80, "hyperparamete… ━ 52 of 60 13 failed 1 s left 10/s"),
        (60, "hyperparame… ━ 52 of 60 13 failed 1 s left"),
        (40, "hyperparame… 52 of 60 13 failed"),
    ],
)
def test_a_narrow_terminal_shortens_names_before_rates_and_never_counts(
    live_display: Live, width: int, row: str
) -> None:
    start(live_display, "trial", 0, 1)
    searching(live_display)
    lines = live_display.lines(width)
    assert all(len(line) <= width for line in lines)
    assert " ".join(re.sub("[━╸╺]+", "━", lines[1]).split()) == row


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_large_counts_stay_whole_in_every_width(live_display: Live, width: int) -> None:
    start(live_display, "trial", 0, 1)
    searching(live_display)
    large = SEARCH._replace(id=1, name="計算" * 20, done=1_234_567, total=20_000_000, failed=345)
    live_display.pool(large)
    lines = live_display.lines(width)
    assert all(cell_len(line) <= width for line in lines)
    assert "52 of 60  13 failed" in lines[1]
    assert "1,234,567 of 20,000,000  345 failed" in lines[2]


def test_a_number_of_workers_is_shown_once(live_display: Live) -> None:
    start(live_display, "trial", 0, 1)
    searching(live_display)
    assert [line for line in live_display.lines(100) if "2 workers" in line] == [live_display.lines(100)[0]]
    assert live_display.lines(100)[-1] == "5.2 s"
    searching(live_display, wanted=3)
    assert "2 of 3 workers" in live_display.lines(120)[1]
    start(live_display, "other", 2, 4)
    assert live_display.lines(100)[-1] == "5 workers, 5.2 s"


def test_workers_that_are_gone_do_not_count_as_connected(live_display: Live) -> None:
    start(live_display, "trial", *range(8))
    live_display.exit("trial", 3, "was killed by SIGKILL")
    assert live_display.lines(100)[0].endswith("7 workers connected  1 failed")
    live_display.request("trial", range(8, 9))
    assert live_display.lines(100)[0].endswith("7 of 8 workers connected  1 failed")
    live_display.connect("trial", 8)
    live_display.exit("trial", 0)
    live_display.stop("trial", 1)
    assert live_display.lines(100)[0].endswith("6 workers connected  1 finished, 1 stopped, 1 failed")


@pytest.mark.parametrize(
    "ends, expected",
    [
        ("done done", "2 workers finished"),
        ("stopped stopped", "2 workers ended"),
        ("done stopped", "2 workers ended"),
        ("failed failed", "2 workers failed"),
        ("done failed", "2 workers ended, 1 failed"),
        ("stopped failed", "2 workers ended, 1 failed"),
    ],
)
def test_the_ends_of_workers_are_summarised(
    live_display: Live, capsys: pytest.CaptureFixture[str], ends: str, expected: str
) -> None:
    plain = Plain()
    for display in (live_display, plain):
        display.request("trial", range(2))
        for worker, end in enumerate(ends.split()):
            display.connect("trial", worker)
            if end == "stopped":
                display.stop("trial", worker)
            else:
                display.exit("trial", worker, None if end == "done" else "was killed")
    assert live_display.lines(100)[0].endswith(expected)
    plain.display.close()
    lines = capsys.readouterr().err.splitlines()
    assert f"trial: {expected}" in lines
    failed = ends.count("failed")
    assert lines[-1].startswith(f"2 workers, {failed} failed, " if failed else "2 workers, ")


def test_a_log_counts_no_dead_workers(capsys: pytest.CaptureFixture[str]) -> None:
    display = Plain()
    display.request("trial", range(8))
    for node in range(4):
        display.place("trial", range(2 * node, 2 * node + 2), f"node{node}")
    display.connect("trial", *range(8))
    display.note("trial", "all are there")
    display.exit("trial", 7, "was killed by SIGKILL")
    display.request("trial", range(8, 9))
    display.place("trial", range(8, 9), "node0")
    display.connect("trial", 8)
    display.display.close()
    assert capsys.readouterr().err.splitlines()[:-1] == [
        "trial: starting 8 workers",
        "trial: 8 of 8 placed on node0 (2), node1 (2), node2 (2), node3 (2)",
        "trial: 8 of 8 connected",
        "trial: all are there",
        "trial:7 was killed by SIGKILL",
        "trial: starting 1 more worker",
        "trial: 8 of 8 placed on node0 (3), node1 (2), node2 (2), node3 (1)",
        "trial: 8 of 8 connected",
        "trial: 1 of 9 workers failed",
    ]


STARTING = """
from aioparcs import StartError, run

async def main(runner):
    for name in ("broken", "silent"):
        try:
            async with runner.start_many(name, 2):
                pass
        except StartError as error:
            print(error.reason)

run(main)
"""


@pytest.fixture
def starting(tmp_path: Path) -> Path:
    """Write a program whose modules don't start: one raises, the other one ends without serving."""
    module(tmp_path, "broken", "raise ValueError('broken')")
    module(tmp_path, "silent", "print('no more')")
    return module(tmp_path, "starting", STARTING) / "starting"


@pytest.mark.slow
def test_a_failed_start_is_counted_once_and_shown_by_its_error_alone(starting: Path) -> None:
    done = run("run", starting)
    assert done.returncode == 0
    assert "before it called serve" in done.stdout
    assert "without calling serve" in done.stdout
    lines = [line for line in done.stderr.splitlines() if " | " not in line]
    assert lines[:-1] == [
        "broken: starting 2 workers",
        "broken: 2 workers failed",
        "silent: starting 2 workers",
        "silent: 2 workers failed",
    ]
    assert lines[-1].startswith("4 workers, 4 failed, ")


@pytest.mark.slow
def test_a_failed_start_is_not_shown_as_finished_on_a_terminal(starting: Path) -> None:
    code, written = in_terminal("run", starting)
    assert code == 0
    assert "silent" in visible(written)
    assert not re.search("done|finished", visible(written))
    assert len(re.findall(r"silent .* 2 workers failed", visible(written).rpartition("broken ")[2])) == 1


@pytest.mark.slow
def test_each_failed_start_is_followed_in_detail(starting: Path) -> None:
    stderr = run("run", starting, "-v").stderr
    for worker in range(2):
        assert f"broken:{worker} did not start: ended with exit code 1\n" in stderr
    for worker in range(2, 4):
        assert (
            f"silent:{worker} did not start: its main.py ended without calling serve(...): add serve(NAME) at its end\n"
            in stderr
        )


LEAVING = """
from aioparcs import run

async def main(runner):
    async with runner.pool("searching", 2) as pool:
        async for _ in pool.imap_unordered(range(20)):
            break

run(main)
"""
SEARCHING = """
import time
from aioparcs import serve

def search(n):
    if n:
        time.sleep(60)

serve(search)
"""


@pytest.mark.slow
def test_a_pool_that_is_left_early_ends_well(tmp_path: Path) -> None:
    module(tmp_path, "searching", SEARCHING)
    done = run("run", module(tmp_path, "leaving", LEAVING) / "leaving")
    assert done.returncode == 0
    assert re.search(r"^searching: 1 of 1 items? in [^,]+, [\d.,]+/\w+, 2 workers$", done.stderr, re.M)
    assert "searching: 2 workers ended\n" in done.stderr
    assert re.search(r"^2 workers, \d+\.\d s$", done.stderr, re.M)


def test_what_a_pool_waits_for_is_a_line_of_its_own(live_display: Live) -> None:
    start(live_display, "trial", 0, 1)
    live_display.pool(SEARCH._replace(done=5, waits="waits for \x1b[31mits rate limit"))
    assert live_display.lines(100)[-2] == "hyperparameter search (digits): waits for its rate limit"
    assert live_display.lines(40)[-2] == "hyperparameter search (digits): waits f…"
    live_display.pool(SEARCH._replace(done=60, running=0, workers=0, wanted=0))
    assert not any("waits" in line for line in live_display.lines(100))


def test_what_workers_wait_for_is_shown_until_they_are_there(live_display: Live) -> None:
    live_display.request("trial", range(3))
    live_display.wait("trial", 2, "its node is pulling \x1b[31mthe image")
    assert live_display.lines(100)[-2] == "trial: 2 workers wait: its node is pulling the image"
    live_display.wait("trial", 1, "Docker has found no node for it")
    assert live_display.lines(100)[-2] == "trial: 1 worker waits: Docker has found no node for it"
    live_display.connect("trial", 0, 1, 2)
    assert not any("wait" in line for line in live_display.lines(100))


def test_a_log_says_once_what_workers_wait_for(capsys: pytest.CaptureFixture[str]) -> None:
    plain = Plain()
    plain.request("trial", range(3))
    plain.wait("trial", 2, "its node is pulling the image")
    plain.display.flush()
    assert "wait" not in capsys.readouterr().err, "it is too soon"
    plain.clock.time = 10.5
    plain.display.flush()
    plain.display.flush()
    plain.display.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines.count("trial: 2 workers wait: its node is pulling the image") == 1
