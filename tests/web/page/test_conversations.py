"""Conversations in the timeline, in Chromium: of a program that runs, whose workers talk by messages."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Browser, Page
from tests.web.page.conftest import Show
from tests.web.page.job_data import JOB, snapshot, worker_row
from tests.web.page.live import job, ui
from tests.web.page.page_server import PageServer
from tests.web.page.test_actions import tab_to
from tests.web.page.test_timeline import FRAME, PIXELS, box
from tests.web.page.test_views import until_text

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

TALK = "69,82,93"
PROGRAM = """
import asyncio
import os
from pathlib import Path

from aioparcs import Runner, Service, run

GATE = Path(os.environ["GATE"])


class Echo(Service):
    async def run(self) -> None:
        async for number in self:
            await self.send(number)


async def main(runner: Runner) -> None:
    async with runner.start(Echo) as talking, runner.start(Echo):
        while not GATE.exists():
            await talking.send(1)
            await talking.recv()
            await asyncio.sleep(0.05)


run(main)
"""


def tips(page: Page, row: int, height: int) -> Iterator[str]:
    """Yield what is said of places of a row of the timeline."""
    x, y, width, _ = box(page)
    for i in range(60):
        page.move(x + 116 + (width - 118) * i / 60, y + 22 + (row + 0.5) * height)
        yield str(page.run("document.getElementById('tip')?.innerText ?? ''")).replace("\xa0", " ")


def find(page: Page, row: int, height: int, *wanted: str) -> None:
    """Look along a row of the timeline until these texts were all found there: each look takes a while."""
    found: set[str] = set()
    for tip in tips(page, row, height):
        found.add(tip)
        if all(any(text in tip for tip in found) for text in wanted):
            return
    pytest.fail(f"{wanted} are not all in {found}")


def test_a_worker_that_talks_is_seen_to_talk(browser: Browser, tmp_path: Path) -> None:
    with ui() as server, job(tmp_path / "echo", PROGRAM, PARCS_UI="1") as running:
        page = browser.open(server.address)
        until_text(page, "echo/main.py")
        tab_to(page, "echo/main.py")
        page.press("Enter")
        until_text(page, "talking", "#timeline .legend")
        page.until(f"{PIXELS}.then((colours) => (colours['{TALK}'] || 0) > 500)")
        running.release()
        assert running.wait() == 0
        until_text(page, "Finished after", "#now")
        find(page, 1, 20, "talking: ", " messages in ")
        assert not any("talking" in tip for tip in tips(page, 2, 20)), "the other one has had no message"
        assert page.problems(server.origin) == []
        page.close()


def test_conversations_of_many_workers_are_bands(show: Show, server: PageServer) -> None:
    whole = snapshot(workers=1000, spans=0)
    whole["spans"] = [
        [n, -1, 10.0 + second, 11.0 + second, 1.0, 5, 0, "", ""] for n in range(500) for second in (0, 1, 5)
    ]
    server.snapshots[JOB] = whole | {"functions": [], "workers": [worker_row(number) for number in range(1000)]}
    page = show(f"#/job/{JOB}")
    assert page.run(PIXELS).get(FRAME, 0) == 0
    find(page, 2, 15, " talking at ")
    page.run('document.getElementById("scroller").focus()')
    page.press("b")
    assert page.run(PIXELS).get(TALK, 0) > 100
    find(page, 2, 15, "talking: 10 messages in 2", "talking: 5 messages in 1")
