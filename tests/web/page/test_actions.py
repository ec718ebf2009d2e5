"""Actions of the page, by the keyboard alone, in Chromium."""

import pytest

from tests.support.browser import Page
from tests.web.page.conftest import Show
from tests.web.page.job_data import JOB, job_row, snapshot, worker_page
from tests.web.page.page_server import PageServer

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

VIEW = f"#/job/{JOB}"
FOCUS = "(document.activeElement.innerText || document.activeElement.name || document.activeElement.tagName).trim()"
TOAST = "document.querySelector('.toast').innerText"


@pytest.fixture
def controlled(server: PageServer) -> PageServer:
    server.snapshots[JOB]["overview"] |= {"control": True}
    server.answers[f"jobs/{JOB}/workers/2"] = worker_page(2, server.snapshots[JOB], control=True)
    return server


def tab_to(page: Page, name: str, *, shift: bool = False) -> None:
    """Press the tabulator until something of a name has the focus."""
    seen = []
    for _ in range(120):
        page.press("Tab", shift=shift)
        seen.append(page.run(FOCUS))
        if seen[-1].startswith(name):
            return
    raise AssertionError(f"{name!r} is never reached: {seen}")


def test_without_control_there_are_no_actions(show: Show, server: PageServer) -> None:
    for view in (VIEW, f"{VIEW}/worker/2"):
        page = show(view)
        assert page.run("document.querySelectorAll('dialog, button.danger').length") == 0


def test_a_job_is_stopped_after_a_question(show: Show, controlled: PageServer) -> None:
    page = show(VIEW)
    tab_to(page, "Stop job")
    page.press("Enter")
    page.until("!!document.querySelector('dialog[open]')")
    assert page.run(FOCUS) == "Back"
    page.press("Enter")
    page.until("!document.querySelector('dialog[open]')")
    assert page.run(FOCUS) == "Stop job", "the focus is where it was"
    assert controlled.posted == []
    page.press("Enter")
    page.until("!!document.querySelector('dialog[open]')")
    page.press("Escape")
    page.until("!document.querySelector('dialog[open]')")
    assert controlled.posted == []
    page.press("Enter")
    tab_to(page, "Stop the job")
    page.press("Enter")
    page.until(f"{TOAST} === 'stop: done'")
    assert controlled.posted == [(f"jobs/{JOB}/stop", {})]
    assert page.run("document.querySelector('.toast').getAttribute('aria-live')") == "polite"


def test_a_pool_is_resized_and_an_item_is_cancelled(show: Show, controlled: PageServer) -> None:
    controlled.answers[f"jobs/{JOB}/pools/0/cancel"] = {"error": "Item 99 has ended already."}
    page = show(VIEW)
    tab_to(page, "Resize")
    page.press("Enter")
    page.until("document.activeElement.name === 'workers'")
    assert page.run("document.activeElement.value") == "6"
    page.run("document.activeElement.select()")
    page.type("12")
    controlled.publish(f"jobs/{JOB}", {"now": 61.0, "log": [[900, 61.0, "render", 0, "meanwhile", 0]]})
    page.until("document.getElementById('log').innerText.includes('meanwhile')")
    assert page.run("document.activeElement.value") == "12", "what one types stays, whatever happens"
    page.press("Enter")
    page.until(f"{TOAST} === 'resize: done'")
    tab_to(page, "Cancel item")
    page.press("Enter")
    page.until("document.activeElement.name === 'item'")
    assert page.run("document.activeElement.value") == "", "no item is known to be slow"
    page.press("Enter")
    assert page.run("!!document.querySelector('dialog[open]')"), "a number is needed"
    page.type("99")
    page.press("Enter")
    page.until(f"{TOAST}.includes('Item 99 has ended already.')")
    assert page.run("document.querySelector('.toast').classList.contains('bad')")
    assert controlled.posted == [
        (f"jobs/{JOB}/pools/0/resize", {"workers": 12}),
        (f"jobs/{JOB}/pools/0/cancel", {"item": 99}),
    ]


def test_the_item_that_a_pool_waits_for_is_the_one_to_cancel(show: Show, controlled: PageServer) -> None:
    slow = {"subject": "pool render", "text": "waits for item 41: (41) in worker 2", "since": 3.0}
    controlled.snapshots[JOB] = controlled.snapshots[JOB] | {"explain": [slow]}
    page = show(VIEW)
    tab_to(page, "Cancel item")
    page.press("Enter")
    page.until("document.activeElement.name === 'item'")
    assert page.run("document.activeElement.value") == "41"


@pytest.mark.parametrize("action", ["Kill", "Restart"])
def test_a_worker_is_killed_or_restarted(show: Show, controlled: PageServer, action: str) -> None:
    page = show(f"{VIEW}/worker/2")
    tab_to(page, action)
    page.press("Enter")
    tab_to(page, f"{action} the worker")
    page.press("Enter")
    page.until(f"{TOAST} === '{action.lower()}: done'")
    assert controlled.posted == [(f"jobs/{JOB}/workers/2/{action.lower()}", {})]


def test_an_ended_job_has_no_actions(show: Show, controlled: PageServer) -> None:
    overview = controlled.snapshots[JOB]["overview"] | {"state": "done"}
    controlled.snapshots[JOB] = snapshot(overview=overview)
    page = show(VIEW)
    assert page.run("document.querySelectorAll('dialog').length") == 0


def test_all_is_reached_by_the_keyboard(show: Show, server: PageServer) -> None:
    server.jobs = [job_row()]
    page = show()
    page.press("Tab")
    assert page.run(FOCUS) == "Skip to the content"
    assert page.run("document.activeElement.getBoundingClientRect().left") > 0, "it is seen"
    page.press("Enter")
    assert page.run("document.activeElement.id") == "main"
    tab_to(page, "render/main.py")
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.press("Enter")
    page.until("!!document.getElementById('tab-workers')")
    tab_to(page, "Workers")
    page.press("ArrowRight")
    assert page.run(FOCUS) == "Tree"
    page.until("!!document.getElementById('panel-tree')")
    page.press("End")
    assert page.run(FOCUS).startswith("Failed calls")
    page.press("ArrowRight")
    page.until("!!document.getElementById('panel-workers')")
    tab_to(page, "render:2")
    page.press("Enter")
    page.until("!!document.getElementById('fetch-stack')")
    tab_to(page, "Python stack")
