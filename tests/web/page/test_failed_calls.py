"""Failed calls on the page, in Chromium: the error and where it was raised, of a program that runs."""

from pathlib import Path

import pytest

from tests.support.browser import Browser, Page
from tests.web.page.conftest import Show
from tests.web.page.job_data import HOSTILE, JOB, snapshot
from tests.web.page.live import job, ui
from tests.web.page.page_server import PageServer
from tests.web.page.test_actions import FOCUS, tab_to
from tests.web.page.test_timeline import box, tip_at
from tests.web.page.test_views import text, until_text

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

ERROR = "ValueError: five"
# A red pixel of the timeline, as failed calls are: right of the names, whose edges have all colours.
RED = """new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
  const canvas = document.getElementById("rows"), {width, height} = canvas;
  const {data} = canvas.getContext("2d").getImageData(0, 0, width, height);
  for (let i = 0; i < data.length; i += 4) {
    const x = (i / 4) % width, y = Math.floor(i / 4 / width);
    if (x > 118 && y > 24 && data[i] - Math.max(data[i + 1], data[i + 2]) > 50) return done([x, y]);
  }
  return done(null);
})))"""


def click_red(page: Page) -> None:
    """Click a failed call in the timeline, once it is drawn at its place, and wait for what is said of it."""
    tried = []
    for _ in range(200):
        dx, dy = page.until(RED)
        left, top, *_ = box(page)
        x, y = left + dx + 0.5, top + dy + 2
        tried.append((left, top, dx, dy, tip_at(page, x, y)))
        if "ValueError" in tried[-1][-1]:
            break
    else:
        pytest.fail(f"what is red is no failed call: {tried[-1]}")
    for kind in ("mousePressed", "mouseReleased"):
        page.move(x, y, kind=kind, button="left", clickCount=1)
    page.until("!!document.querySelector('dialog[open]')")


def test_a_failed_call_shows_where_it_was_raised(browser: Browser, tmp_path: Path) -> None:
    with ui() as server, job(tmp_path / "squares", PARCS_UI="1") as running:
        page = browser.open(server.address)
        until_text(page, "squares/main.py")
        tab_to(page, "squares/main.py")
        page.press("Enter")
        until_text(page, "99 of 100 items are done", "#now")
        tab_to(page, "Workers")
        page.press("End")
        until_text(page, ERROR, "#panel-failed")
        tab_to(page, ERROR)
        page.press("Enter")
        until_text(page, "in work", "#panel-failed details[open] pre")
        shown = text(page, "#panel-failed details[open] pre")
        assert "main.py" in shown
        assert 'raise ValueError("five <script>window.hacked = 1</script>")' in shown
        running.release()
        assert running.wait() == 0
        until_text(page, "Finished after", "#now")  # the timeline stands still from now on
        click_red(page)
        assert "work failed in work:" in text(page, "dialog[open]")
        assert "item 5: (5)" in text(page, "dialog[open]")
        assert text(page, "dialog[open] .trace").startswith(shown)
        assert ERROR in text(page, "dialog[open] .trace")
        page.press("Escape")
        page.until("!document.querySelector('dialog')")
        click_red(page)
        tab_to(page, "Open the worker")
        page.press("Enter")
        page.until("!!document.getElementById('fetch-stack')")
        page.run("document.getElementById('tab-failed').click()")
        until_text(page, ERROR, "#panel-failed")
        tab_to(page, ERROR)
        page.press("Enter")
        until_text(page, "in work", "#panel-failed details[open] pre")
        assert page.run("window.hacked") is None
        assert page.problems(server.origin) == []
        page.close()


def test_a_traceback_is_only_text_and_an_older_one_is_missed(show: Show, server: PageServer) -> None:
    page = show(f"#/job/{JOB}")
    click_red(page)
    assert HOSTILE in text(page, "dialog[open] .trace")
    assert "line 7, in frame" in text(page, "dialog[open] .trace")
    assert page.run(FOCUS) == "Close"
    server.snapshots[JOB] = snapshot(failures=[])
    page = show(f"#/job/{JOB}")
    click_red(page)
    assert "ValueError: " in text(page, "dialog[open] .trace")
    assert "Its traceback is not known" in text(page, "dialog[open]")
