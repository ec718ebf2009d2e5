"""Actions of the page on programs that run, in Chromium and by the keyboard alone: what comes of them is seen."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.browser import Browser, Page
from tests.support.waiting import PATIENCE
from tests.web.page.live import HANGING, Job, job, ui
from tests.web.page.test_actions import tab_to
from tests.web.page.test_views import text, until_text

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

TOAST = "document.querySelector('.toast')"
WORKERS = 3


class Controlled(NamedTuple):
    """A program whose pool waits for one of its three workers, and the page of its job."""

    page: Page
    program: Job
    hanging: int


@contextmanager
def controlled(browser: Browser, folder: Path) -> Iterator[Controlled]:
    """Run the program, and open the page of its job, while the block runs."""
    with ExitStack() as stack:
        server = stack.enter_context(ui("--control"))
        program = stack.enter_context(job(folder / "squares", PARCS_UI="1"))
        page = browser.open(server.address)
        stack.callback(page.close)
        until_text(page, "squares/main.py")
        tab_to(page, "squares/main.py")
        page.press("Enter")
        until_text(page, "99 of 100 items are done", "#now")
        found = page.until(f"""[...document.querySelectorAll('#panel-workers tbody tr')].map((row) => row.innerText)
            .filter((row) => row.includes('item {HANGING}: (')).map((row) => /work:([0-9]+)/.exec(row)[1])[0]""")
        yield Controlled(page, program, int(found))
        assert page.run("window.hacked") is None
        assert page.problems(server.origin) == []


def open_worker(page: Page, number: int) -> int:
    """Go to a worker by its link in the table, and return its process."""
    tab_to(page, f"work:{number}")
    page.press("Enter")
    page.until("!!document.getElementById('fetch-stack')")
    until_text(page, " in ", "#log")
    found = re.search(r"item \d+ in (\d+)", text(page, "#log"))
    assert found
    return int(found[1])


def confirm(page: Page, button: str, question: str) -> str:
    """Press a button and the one that confirms it, and return what came of it."""
    tab_to(page, button)
    page.press("Enter")
    page.until("!!document.querySelector('dialog[open]')")
    tab_to(page, question)
    page.press("Enter")
    return answer(page)


def answer(page: Page) -> str:
    """Return what came of an action, unless it was refused."""
    page.until(f"{TOAST}.innerText !== ''")
    assert not page.run(f"{TOAST}.classList.contains('bad')"), text(page, ".toast")
    return text(page, ".toast")


def wait_for_end(pid: int) -> None:
    """Wait until a process has ended."""
    deadline = time.monotonic() + PATIENCE
    while not is_gone(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_worker_is_restarted(browser: Browser, tmp_path: Path) -> None:
    with controlled(browser, tmp_path) as (page, program, hanging):
        idle = (hanging + 1) % WORKERS
        pid = open_worker(page, idle)
        assert not is_gone(pid)
        confirm(page, "Restart", "Restart the worker")
        wait_for_end(pid)
        page.until("/done|stopped/.test(document.querySelector('h1').innerText)")
        tab_to(page, "squares/main.py", shift=True)
        page.press("Enter")
        until_text(page, f"work:{WORKERS}", "#panel-workers")
        until_text(page, "3 of 3", "#pools")
        until_text(page, f"aioparcs ui restarts worker {idle}", "#log")
        program.release()
        assert program.wait() == 0
        (line,) = program.output.splitlines()
        assert "ValueError" in line, "no other call has failed but the one that raises"


def test_a_worker_is_killed(browser: Browser, tmp_path: Path) -> None:
    with controlled(browser, tmp_path) as (page, program, hanging):
        pid = open_worker(page, hanging)
        assert not is_gone(pid)
        confirm(page, "Kill", "Kill the worker")
        wait_for_end(pid)
        until_text(page, "stopped", "h1")
        assert program.wait() == 0, "the item is an exception, and the others are done"
        assert "WorkerLost: " in program.output


def test_an_item_is_cancelled(browser: Browser, tmp_path: Path) -> None:
    with controlled(browser, tmp_path) as (page, program, _):
        tab_to(page, "Cancel item")
        page.press("Enter")
        page.until("document.activeElement.name === 'item'")
        page.run("document.activeElement.select()")
        page.type(str(HANGING))
        page.press("Enter")
        assert f"item {HANGING}" in answer(page)
        assert program.wait() == 0
        cancelled = [line for line in program.output.splitlines() if line.startswith("CallCancelled: ")]
        assert len(cancelled) == 1
        assert f"item {HANGING}: ({HANGING})" in cancelled[0]
        assert "aioparcs ui" in cancelled[0]
        until_text(page, "Finished after", "#now")


def test_a_pool_is_resized(browser: Browser, tmp_path: Path) -> None:
    with controlled(browser, tmp_path) as (page, program, _):
        tab_to(page, "Resize")
        page.press("Enter")
        page.until("document.activeElement.name === 'workers'")
        page.run("document.activeElement.select()")
        page.type("5")
        page.press("Enter")
        assert "3 -> 5 workers" in answer(page)
        until_text(page, "5 of 5", "#pools")
        until_text(page, "work:4", "#panel-workers")
        program.release()
        assert program.wait() == 0


def test_a_job_is_stopped(browser: Browser, tmp_path: Path) -> None:
    with controlled(browser, tmp_path) as (page, program, _):
        confirm(page, "Stop job", "Stop the job")
        assert program.wait() == 143
        until_text(page, "Stopped after", "#now")
