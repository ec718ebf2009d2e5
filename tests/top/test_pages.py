"""The pages, driven by keys, with the histories of real jobs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from aioparcs.monitor import Jobs
from aioparcs.recording.store import store_folder
from aioparcs.top.app import TopApp
from aioparcs.top.columns import Column, Table
from aioparcs.top.listing import Lines, Listing
from aioparcs.top.screens.job import JobPage
from aioparcs.top.sources import JobSource
from tests.support.recordings import recording, write_recording
from tests.support.screens import screen_text, seen
from tests.support.top_jobs import job_there, running_job
from tests.support.waiting import until

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]


@asynccontextmanager
async def shown(
    path: Path | None = None, size: tuple[int, int] = (80, 24), *, control: bool = False
) -> AsyncIterator[Pilot[None]]:
    jobs = Jobs()
    app = TopApp(jobs, JobSource(path) if path else None, control=control)
    try:
        async with app.run_test(size=size) as pilot:
            yield pilot
    finally:
        jobs.close()


def made(name: str, *arguments: Any, **options: Any) -> Path:
    """Write the history of a job that has ended."""
    store_folder().mkdir(parents=True, exist_ok=True)
    return write_recording(store_folder() / f"{name}.jsonl", recording(*arguments, **options))


async def test_keys_lead_from_the_jobs_to_one_worker_and_back(tmp_path: Path) -> None:
    with running_job(tmp_path):
        path = await job_there()
        async with shown() as pilot:
            app = pilot.app
            await seen(app, rf"{path.stem} +running", "1 running", "7/8 -1")
            await pilot.press("enter")
            await seen(
                app, "^ primes|^ work", "7/8  1 failed", "2 of 2 up", r"^ +0 +(calling|waiting)", r"^ +1 +\w+ing"
            )
            await pilot.press("l")
            text = await seen(app, "working on .bold red.7./. <end>", "lost: |no .bold.three|working on")
            assert "title" not in text
            await pilot.press("w", "down", "enter")
            await seen(app, rf"{path.stem} > worker 1", "module +work", "working on .bold red.", "connected after")
            await pilot.press("c")
            await seen(app, "BEGAN +TOOK", r"\d+ ms +1 work")
            await pilot.press("escape")
            await seen(app, "2 of 2 up")
            (tmp_path / "end").touch()
            await seen(app, "done  ", "8/8  1 failed", "2 done", r"^ +1 done")
            await pilot.press("escape")
            await seen(app, rf"{path.stem} +done")


async def test_a_worker_is_killed_a_pool_resized_and_a_job_stopped_once_that_is_confirmed(tmp_path: Path) -> None:
    with running_job(tmp_path) as process:
        path = await job_there()
        async with shown(path, control=True) as pilot:
            app = pilot.app
            await seen(app, "2 of 2 up", "K kill  N restart  C cancel  R resize  S stop  . help")
            await pilot.press("K")
            await seen(app, r"Kill worker 0\?", "SIGKILL", "2 of 2 up")
            await pilot.press("enter", "K", "escape", "K", "n")  # none of these confirms
            await seen(app, "Enter open")
            await pilot.press("K", "y")
            await seen(app, "worker 0 was killed by aioparcs top; pool work starts another one")
            await seen(app, r"^ +0 (stopped|lost)", r"^ +2 \w+ing", "2 of 2 up")
            await pilot.press("R")
            await seen(app, "Resize the pool work", "number of its workers")
            await pilot.press("backspace", "3", "enter")
            await seen(app, "aioparcs top resizes pool work: 2 -> 3 workers", "3 of 3 up")
            await pilot.press("l")
            await seen(app, "runner +worker 0 was killed by aioparcs top")
            await pilot.press("escape")
            await seen(app, rf"{path.stem} +running", "S stop")
            await pilot.press("S", "y")
            await seen(app, rf"{path.stem} +stopped", "stopped by SIGTERM")
            await until(lambda: process.poll() is not None)
            await pilot.press("S")
            await seen(app, "the job has ended")


async def test_a_worker_is_restarted_and_its_call_is_cancelled_once_that_is_confirmed(tmp_path: Path) -> None:
    with running_job(tmp_path) as process:
        path = await job_there()
        async with shown(path, control=True) as pilot:
            app = pilot.app
            await seen(app, r"calling.* s item 7: \(7\)")
            await pilot.press("slash", *"waiting", "enter", "N")
            await seen(app, r"Restart worker [01]\?", "takes its place")
            await pilot.press("n", "N", "y")
            await seen(app, r"aioparcs top restarts worker [01]: it ends when its successor is there")
            await pilot.press("escape")
            await seen(app, r"^ +[01] (done|stopped)", r"^ +2 waiting", "2 of 2 up")
            await pilot.press("slash", *"item 7", "enter", "enter", "question_mark")
            await seen(app, "K  N  C +kill the worker, restart it, cancel its call")
            await pilot.press("escape", "C")
            await seen(app, r"Cancel the call of worker [01]\?", "CallCancelled")
            await pilot.press("y")
            await seen(app, r"item 7: \(7\) was cancelled by aioparcs top; a plain function goes on")
            await pilot.press("escape", "escape", "l")
            await seen(app, r"item 7: \(7\) was cancelled by aioparcs top")
            (tmp_path / "end").touch()
            await until(lambda: process.poll() == 0)
            await seen(app, "8/8  2 failed")
            await pilot.press("w", "N")
            await seen(app, "the job has ended")


async def test_without_control_keys_change_nothing(tmp_path: Path) -> None:
    with running_job(tmp_path):
        path = await job_there()
        async with shown(path) as pilot:
            text = await seen(pilot.app, "2 of 2 up")
            assert "kill" not in text
            for key in "KNCRS":
                await pilot.press(key)
                await seen(pilot.app, "start aioparcs top --control to do that")
                assert len(pilot.app.screen_stack) == 3
            await pilot.press("question_mark")
            assert "kill" not in await seen(pilot.app, "quit; jobs go on")


async def test_the_traceback_of_a_worker_shows_where_it_is(tmp_path: Path) -> None:
    with running_job(tmp_path):
        path = await job_there()
        async with shown(path) as pilot:
            app = pilot.app
            await seen(app, r"calling.* s item 7: \(7\)", "! pool work: waits for item 7")
            await pilot.press("e", "enter")
            await seen(app, "│ pool work", r"│ waits for item 7: \(7\) in worker \d")
            await pilot.press("escape", "w")
            await pilot.press("slash", *"item 7", "enter", "enter", "t")
            await seen(app, r"calling  [\d.]+ s in work item 7", r"^ +work  main.py:\d+  /")
            (tmp_path / "end").touch()
            await seen(app, "done  ")
            await pilot.press("t")
            await seen(app, "the job has no control socket")


async def test_a_job_that_fails_says_why_in_one_safe_line() -> None:
    path = made("render-1a2b3c", 4, 50, error="ValueError: \x1b[2Jno\n[bold]two[/]")
    async with shown(path) as pilot:
        await seen(pilot.app, r"^ ValueError: no\[bold\]two\[/\]", "failed  ", r"1 lost")
        await pilot.press("w", "s", "s")
        await seen(pilot.app, "STATE▲?", r"^ +1 lost +render.*killed by SIGKILL")
        await pilot.press("escape")
        await seen(pilot.app, r"render-1a2b3c +failed", r"^ ValueError: no")


async def test_rows_are_filtered_and_sorted() -> None:
    path = made("render-1a2b3c", 30, 20, slow=17)
    async with shown(path, (120, 40)) as pilot:
        app = pilot.app
        await seen(app, "workers 30", "N▲", "1/30")
        await pilot.press("slash", *"node2", "enter")
        text = await seen(app, "filter 'node2'", "1/15 of 30")
        assert "node1" not in text
        await pilot.press("escape")
        await seen(app, "1/30")
        await pilot.press("7")
        text = await seen(app, "BUSY▼")
        await pilot.press("7")
        await seen(app, "BUSY▲")
        await pilot.press("less_than_sign")
        await seen(app, "FAILED▼")
        await pilot.press("r")
        await seen(app, "FAILED▲")
        await pilot.press("slash", *"no such", "enter")
        await seen(app, "nothing has 'no such'", "0 of 30")


async def test_tabs_show_pools_functions_and_reasons() -> None:
    path = made("render-1a2b3c", 4, 50)
    async with shown(path, (120, 24)) as pilot:
        await pilot.press("p")
        await seen(pilot.app, "POOL +PROGRESS", "200/200", "took")
        await pilot.press("c")
        await seen(pilot.app, "FUNCTION", r"^frame +1\d\d", r"^merge +\d\d")
        await pilot.press("f")
        await seen(pilot.app, "4/4", r"^ +[\d.]+ s +\d frame +item \d+: .*ValueError: </script>")
        await pilot.press("e")
        await seen(pilot.app, "nothing that is known is in its way")
        await pilot.press("tab")
        await seen(pilot.app, "N▲ STATE")
        await pilot.press("question_mark")
        await seen(pilot.app, "quit; jobs go on", "sort by this column")
        await pilot.press("escape")
        await seen(pilot.app, "N▲ STATE")


async def test_the_log_follows_its_end_until_the_cursor_leaves_it() -> None:
    path = made("render-1a2b3c", 4, 50, lines=500)
    async with shown(path) as pilot:
        await pilot.press("l")
        await seen(pilot.app, "line 499", "/50[0-9]")
        page = pilot.app.screen
        assert isinstance(page, JobPage)
        assert page.listing.row == page.listing.rows[-1]
        await pilot.press("up", "up")
        row = page.listing.row
        page.model.log.append([9999, 20.0, "render", 2, "the newest line", 0])
        page.draw()
        assert page.listing.row is row
        await pilot.press("end")
        page.model.log.append([10000, 20.0, "render", 2, "an even newer line", 0])
        page.draw()
        await seen(pilot.app, "an even newer line")
        await pilot.press("enter")
        await seen(pilot.app, "worker 2", "node1|node2")


async def test_a_thousand_workers_are_all_there_and_only_those_in_sight_are_drawn() -> None:
    path = made("render-1a2b3c", 1000, 2)
    async with shown(path) as pilot:
        await seen(pilot.app, "workers 1,000", "1/1,000")
        await pilot.press("end")
        text = await seen(pilot.app, "^ +999 waiting|^ +999 +done|^ +999 ", "1,000/1,000")
        assert " 900 " not in text
    drawn = 0

    def cell(row: int) -> str:
        nonlocal drawn
        drawn += 1
        return str(row)

    table = Table((Column("N", 5, cell, lambda row: row),), key=lambda row: row, words=str, empty="none")

    class Small(App[None]):
        def compose(self) -> ComposeResult:
            yield Listing(table)

    async with Small().run_test(size=(20, 10)) as small:
        listing = small.app.query_one(Listing)
        listing.focus()
        listing.show_rows(range(100_000))
        await small.pause()
        await small.press("end")
        await seen(small.app, "99999")
        assert drawn < 100


async def test_a_text_that_is_cut_off_keeps_its_colour() -> None:
    class Small(App[None]):
        def compose(self) -> ComposeResult:
            yield Lines(id="lines")

    async with Small(ansi_color=True).run_test(size=(20, 4)) as small:
        lines = small.app.query_one("#lines", Lines)
        lines.show(Text("short", "red"), Text("long " * 10, "red"))
        await small.pause()
        styles = [segment.style for y in range(2) for segment in lines.render_line(y) if segment.text.strip()]
        assert [style and style.color and style.color.name for style in styles] == ["red", "red"]


async def test_the_smallest_terminal_has_room_for_the_numbers() -> None:
    path = made("render-1a2b3c", 4, 50)
    async with shown(path, (40, 10)) as pilot:
        await seen(pilot.app, "render-1a2b", "200/200")
        await pilot.resize_terminal(160, 50)
        await seen(pilot.app, "NODE", "node2", "MEMORY", "line 99")
        await asyncio.sleep(0)
        assert all(len(line) <= 160 for line in screen_text(pilot.app).splitlines())
