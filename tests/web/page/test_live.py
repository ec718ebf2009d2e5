"""The page as users have it: served by ``aioparcs ui``, in Chromium, with programs that run."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aioparcs.recording.store import store_folder
from tests.support.browser import Browser, Page
from tests.support.command import COMMAND, ENVIRONMENT, TIMEOUT
from tests.support.recordings import recording, write_recording
from tests.web.page.live import HANGING, Ui, job, ui
from tests.web.page.test_actions import tab_to
from tests.web.page.test_timeline import FRAME, PIXELS
from tests.web.page.test_views import text, until_text

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

Open = Callable[..., Page]


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    """Open the page of a server, and close it at the end."""
    pages: list[Page] = []

    def visit(server: Ui, **size: Any) -> Page:
        pages.append(browser.open(server.address, **size))
        return pages[-1]

    yield visit
    for page in pages:
        assert page.run("window.hacked") is None
        page.close()


def enter(page: Page) -> None:
    """Open the first job that is listed."""
    page.until("!!document.querySelector('tr.job a')")
    page.run("document.querySelector('tr.job a').click()")
    page.until("!!document.getElementById('now')")


def search(page: Page, words: str) -> None:
    """Search the log until a line is found."""
    page.run("document.getElementById('log-search').focus()")
    page.type(words)
    until_text(page, "1 line found", "#log-found")


def enter_hanging(page: Page) -> int:
    """Open the worker that hangs, and return its process."""
    search(page, f"item {HANGING} in")
    number = page.until(f"""[...document.querySelectorAll('.line')].map((line) => line.innerText)
        .filter((line) => line.includes('item {HANGING} in ')).map((line) => /:([0-9]+) /.exec(line)[1])[0]""")
    page.run(f"location.hash += '/worker/{number}'")
    page.until("document.getElementById('fetch-stack')?.disabled === false")
    found = re.search(rf"item {HANGING} in (\d+)", text(page, "#log"))
    assert found
    return int(found[1])


def test_a_program_is_seen_while_it_runs_and_when_it_has_ended(visit: Open, tmp_path: Path) -> None:
    with ui() as server, job(tmp_path / "squares", PARCS_UI="1") as running:
        page = visit(server)
        enter(page)
        until_text(page, "99 of 100 items are done", "#now")
        until_text(page, "1 of 3 workers is in a call", "#now")
        search(page, "item 5 in")
        assert "<script>window.hacked = 1</script>" in text(page, "#log")
        page.run("document.getElementById('tab-failed').click()")
        until_text(page, "five <script>window.hacked = 1</script>", "#panel-failed")
        assert len(page.run(PIXELS)) > 5
        running.release()
        assert running.wait() == 0
        until_text(page, "Finished after", "#now")
        until_text(page, "100 of 100", "#pools")
        page.run("location.hash = '#/jobs'")
        until_text(page, "squares/main.py")
        until_text(page, "done", "tr.job")
        page.run("location.hash = '#/cluster'")
        until_text(page, "This machine")
        assert page.problems(server.origin) == []


ASKING = """
import asyncio

from aioparcs import Runner, run


def work(n: int) -> int:
    return n


async def main(runner: Runner) -> None:
    async with runner.pool(work, 2) as pool:
        await pool.map(range(10))
        if error := await asyncio.to_thread(input):
            raise ValueError(error)


run(main)
"""


KEPT, GONE = "aioparcs ui shows the job", "Its history is not kept"


@contextmanager
def asking(folder: Path, **variables: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Run a program with a page of its own, which ends when it is told how, while the block runs."""
    (folder / "main.py").write_text(ASKING)
    own = {"XDG_STATE_HOME": os.environ["XDG_STATE_HOME"], "PARCS_UI": "1"} | variables
    with subprocess.Popen(
        [COMMAND[0], "main.py"], cwd=folder, env=ENVIRONMENT | own, text=True,
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as program:  # fmt: skip
        assert program.stderr
        yield program, program.stderr.readline().strip().removeprefix("page: ")


@pytest.mark.parametrize("error, shown", [("", "Finished after"), ("it is too late", "ValueError: it is too late")])
def test_a_page_that_ends_with_its_program_shows_the_end(
    browser: Browser, tmp_path: Path, error: str, shown: str
) -> None:
    with asking(tmp_path) as (program, address):
        page = browser.open(address)
        until_text(page, "10 of 10 items", "#now")
        program.communicate(f"{error}\n", TIMEOUT)
        until_text(page, "The program of this page has ended", ".meta .link")
        assert shown in text(page, "#now")
        assert KEPT in text(page, ".meta .link")
        page.run("location.hash = '#/cluster'")
        until_text(page, KEPT, ".pause")
        page.close()


@pytest.mark.parametrize(
    "view, variables, where",
    [("/worker/1", {}, KEPT), ("/worker/1", {"PARCS_HISTORY": "off"}, GONE), ("#/cluster", {}, KEPT)],
    ids=["worker", "not kept", "cluster"],
)
def test_a_worker_and_the_cluster_end_with_the_program_too(
    browser: Browser, tmp_path: Path, view: str, variables: dict[str, str], where: str
) -> None:
    with asking(tmp_path, **variables) as (program, address):
        page = browser.open(address)
        until_text(page, "10 of 10 items", "#now")
        page.run(f"location.hash = {view!r}" if view.startswith("#") else f"location.hash += {view!r}")
        until_text(page, "Cluster" if view == "#/cluster" else "work:1", "h1")
        page.until("document.querySelector('.meta .link')?.innerText === 'live'")
        program.communicate("\n", TIMEOUT)
        until_text(page, "The program of this page has ended", ".meta .link")
        assert where in text(page, ".meta .link")
        assert text(page).count("aioparcs ui") == int(where == KEPT), "nothing is promised"
        if view == "/worker/1":
            assert "done" in text(page, "h1"), "the last state has come"
        page.close()


def test_the_page_finds_a_server_that_was_started_again(visit: Open, tmp_path: Path) -> None:
    with ui() as server, job(tmp_path / "squares") as running:
        page = visit(server)
        enter(page)
        until_text(page, "99 of 100 items are done", "#now")
        server.stop()
        until_text(page, "disconnected, retrying", ".meta .link")
        server.start()
        page.until("document.querySelector('.meta .link').innerText === 'live'")
        running.release()
        until_text(page, "Finished after", "#now")


def test_a_thousand_workers_of_a_history(visit: Open) -> None:
    store_folder().mkdir(parents=True)
    write_recording(store_folder() / "render-0123ab.jsonl", recording(1000, 60, nodes=8, lines=5000))
    with ui() as server:
        page = visit(server)
        enter(page)
        page.until("document.getElementById('bands').getAttribute('aria-pressed') === 'true'")
        assert len(page.run(PIXELS)) > 20
        assert page.run("document.getElementsByTagName('*').length") < 2500
        page.run("document.querySelector('#panel-workers .scroll').scrollTop = 1e6")
        until_text(page, "render:999", "#panel-workers")
        page.run("document.getElementById('scroller').focus()")
        page.press("b")
        page.until("document.getElementById('scroller').scrollHeight > 15000")
        page.run("document.getElementById('scroller').scrollTop = 9000")
        assert page.run(PIXELS).get(FRAME, 0) > 100
        assert page.problems(server.origin) == []


def test_the_stack_of_a_worker_says_where_it_hangs(visit: Open, tmp_path: Path) -> None:
    with ui() as server, job(tmp_path / "squares", PARCS_UI="1"):
        page = visit(server)
        enter(page)
        enter_hanging(page)
        assert page.run("document.querySelectorAll('dialog').length") == 0, "without --control there are no actions"
        tab_to(page, "Python stack")
        page.press("Enter")
        until_text(page, "in work", "#stack")
        assert "time.sleep(0.02)" in text(page, "#stack") or "main.py" in text(page, "#stack")
        assert page.problems(server.origin) == []
