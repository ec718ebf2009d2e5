"""A job of 1,000 workers in Chromium, and a tab that was hidden for a while."""

from pathlib import Path

import pytest

from aioparcs.recording.store import store_folder
from tests.support.browser import Browser, Page
from tests.support.recordings import recording, write_recording
from tests.web.page.frames import CALLS, LINES, TABLE, TIMELINE, WORKERS, open_job, scroll
from tests.web.page.live import job, ui
from tests.web.page.test_views import text, until_text

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

# A minute of a tab that is not seen passes at once; `hide` says what the browser would say of it.
_SCRIPT = """
const later = setTimeout, streams = window.streams = [];
window.setTimeout = (act, milliseconds, ...values) => later(act, milliseconds >= 60000 ? 0 : milliseconds, ...values);
window.EventSource = class extends EventSource {
  constructor(url) { super(url); streams.push(this); }
};
let isHidden = false;
Object.defineProperty(document, "hidden", {get: () => isHidden});
window.hide = (value) => { isHidden = value; document.dispatchEvent(new Event("visibilitychange")); };
"""


def test_of_a_thousand_workers_only_what_is_seen_is_drawn(browser: Browser) -> None:
    store_folder().mkdir(parents=True)
    write_recording(store_folder() / "render-0123ab.jsonl", recording(WORKERS, CALLS, nodes=8, lines=LINES))
    with ui() as server:
        page = browser.open(server.address)
        open_job(page)
        for selector in (TIMELINE, TABLE):
            scrolled = scroll(page, selector, 60)
            assert len(scrolled.frames) == 60
            assert scrolled.place > 10_000, "its end was reached"
            assert scrolled.rows < 60
            assert scrolled.elements < 2500
            assert scrolled.excess <= 0, "the canvas is not larger than the window"
        until_text(page, "render:999", "#panel-workers")
        assert page.problems(server.origin) == []
        page.close()


def visit_hanging(browser: Browser, address: str) -> Page:
    """Open the job that hangs, in a tab that can be hidden."""
    page = browser.open(address)
    page.call("Page.addScriptToEvaluateOnNewDocument", source=_SCRIPT)
    page.call("Page.reload")
    page.until("!!window.hide && !!document.querySelector('tr.job a')")
    page.run("document.querySelector('tr.job a').click()")
    until_text(page, "99 of 100 items are done", "#now")
    return page


def test_a_tab_that_was_hidden_for_long_gives_its_connection_back_and_catches_up(
    browser: Browser, tmp_path: Path
) -> None:
    with ui() as server, job(tmp_path / "squares", PARCS_UI="1") as running:
        page = visit_hanging(browser, server.address)
        open_streams = "streams.filter((one) => one.readyState !== EventSource.CLOSED).length"
        assert page.run(open_streams) == 1
        page.run("hide(true)")
        page.until(f"{open_streams} === 0")
        running.release()
        assert running.wait() == 0
        assert "99 of 100 items are done" in text(page, "#now"), "nothing has come meanwhile"
        page.run("hide(false)")
        until_text(page, "Finished after", "#now")
        until_text(page, "100 of 100", "#pools")
        assert page.run("new Set(streams.map((one) => one.url)).size") == 2, "the list of jobs, and the job"
        page.close()


def test_a_tab_that_was_frozen_catches_up(browser: Browser, tmp_path: Path) -> None:
    with ui() as server, job(tmp_path / "squares", PARCS_UI="1") as running:
        page = visit_hanging(browser, server.address)
        page.call("Page.setWebLifecycleState", state="frozen")
        running.release()
        assert running.wait() == 0
        page.call("Page.setWebLifecycleState", state="active")
        until_text(page, "Finished after", "#now")
        page.close()
