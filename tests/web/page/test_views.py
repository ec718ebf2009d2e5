"""The views in Chromium: their data, updates, text of programs, and the state of the connection."""

import re

import pytest

from tests.support.browser import Browser, Page
from tests.web.page.conftest import Show
from tests.web.page.job_data import HOSTILE, JOB, job_row, snapshot, worker_page, worker_row
from tests.web.page.page_server import PageServer

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

VIEW = f"#/job/{JOB}"


def text(page: Page, selector: str = "main") -> str:
    """Return what is seen of an element, with plain spaces."""
    return str(page.run(f"document.querySelector({selector!r}).innerText")).replace("\xa0", " ")


def until_text(page: Page, part: str, selector: str = "main") -> None:
    page.until(f"document.querySelector({selector!r})?.innerText.replaceAll('\\u00a0', ' ').includes({part!r})")


def click(page: Page, selector: str) -> None:
    page.run(f"document.querySelector({selector!r}).click()")


def test_jobs_are_listed_filtered_and_updated(show: Show, server: PageServer) -> None:
    ended = {"state": "failed", "error": f"ItemError: item 3 {HOSTILE}", "seconds": 12.5, "left": None}
    server.jobs = [job_row(), job_row("pi-ff00aa", program="pi/main.py", **ended)]
    page = show()
    for part in ("render/main.py", "running", "240 / 1,000", "3 failed", "5 / 6", "4/s", "ItemError: item 3", "13 s"):
        assert part in text(page)
    page.run(
        "[...document.querySelectorAll('.segments button')].find((one) => one.innerText.startsWith('failed')).click()"
    )
    page.until("document.querySelectorAll('tr.job').length === 1")
    assert "pi/main.py" in text(page)
    assert "render/main.py" not in text(page)
    click(page, ".segments button")
    page.run("document.getElementById('job-search').focus()")
    page.type("render")
    page.until("document.querySelectorAll('tr.job').length === 1")
    server.publish("jobs", {"jobs": [job_row(items={"done": 999, "total": 1000, "failed": 3, "running": 1})]})
    until_text(page, "999 / 1,000")
    assert page.problems(server.origin) == []


def test_no_job_yet(show: Show, server: PageServer) -> None:
    server.jobs = []
    assert "aioparcs run" in text(show())


def test_a_job_says_first_what_it_does_and_why_it_waits(show: Show, server: PageServer) -> None:
    page = show(VIEW)
    assert "4 of 5 workers are in a call. 240 of 1,000 items are done, about 3 min 10 s left." in text(page, "#now")
    assert "waits for a node with 4 free cores" in text(page, "#now")
    assert page.run("document.querySelector('#now').compareDocumentPosition(document.querySelector('#timeline'))") == 4
    assert page.run("document.title").startswith("24 % render/main.py")
    for part in ("87 %", "1 lost", "thumbnails", "5 of 6", "In a call"):
        assert part in text(page)
    assert page.problems(server.origin) == []


def test_the_tables_of_a_job(show: Show, server: PageServer) -> None:
    page = show(VIEW)
    wanted = {
        "workers": ("render:1", "killed by SIGKILL", "calling", "93 %", "250 MB"),
        "tree": ("runner", "render", "1 open channel between peers, 1 closed"),
        "modules": ("render", "node1: 6"),
        "functions": ("frame", "merge", "900 ms"),
        "nodes": ("node1", "node3"),
        "slowest": ("item 0:", "1.10 s"),
        "failed": ("ValueError: </script><script>", "item 13:"),
    }
    for name, parts in wanted.items():
        click(page, f"#tab-{name}")
        page.until(f"!!document.getElementById('panel-{name}')")
        for part in parts:
            assert part in text(page, f"#panel-{name}"), name
    assert page.run("document.querySelectorAll('circle.dot').length") == 0
    click(page, "#tab-tree")
    page.until("document.querySelectorAll('circle.dot').length === 6")
    assert page.run("document.querySelectorAll('circle.s-lost').length") == 1
    assert page.run("document.querySelectorAll('path.peer').length") == 2
    assert page.problems(server.origin) == []


def test_a_job_whose_calls_are_not_recorded_says_so(show: Show, server: PageServer) -> None:
    whole = snapshot(spans=0)
    # Only calls that take long are known.
    rows = [worker_row(0, "calling", calls=0, busy=0.0), *(worker_row(n, "connected", calls=0) for n in (1, 2))]
    overview = whole["overview"] | {"hasCalls": False, "calls": 0, "failedCalls": 0, "utilisation": None}
    server.snapshots[JOB] = whole | {"overview": overview, "workers": rows, "functions": []}
    page = show(VIEW)
    assert "3 workers are connected, with 4 items. 240 of 1,000 items are done" in text(page, "#now")
    assert "PARCS_UI=1" in text(page, "#timeline")
    figures = text(page, ".figures")
    assert "calls not recorded" in figures
    assert "0 calls" not in figures
    assert re.search(r"in a call\s+\u2013", figures, re.IGNORECASE)
    assert "waiting" not in text(page, "#panel-workers")
    rows_seen = page.run("[...document.querySelectorAll('#panel-workers tbody tr')].map((one) => one.innerText)")
    assert ["connected" in row for row in rows_seen] == [False, True, True]
    assert all("\u2013" in row for row in rows_seen)
    click(page, "#tab-failed")
    until_text(page, "The calls of this job are not recorded", "#panel-failed")
    assert page.run("[...document.querySelectorAll('.chart-title')].map((one) => one.innerText)")[1] == "Items"


@pytest.mark.parametrize("state, word", [("stopped", "Stopped after"), ("killed", "No end was recorded")])
def test_nothing_of_a_job_that_is_over_is_shown_as_alive(show: Show, server: PageServer, state: str, word: str) -> None:
    whole = snapshot(explain=[])
    items = {"done": 32, "total": 100, "failed": 0, "running": 0}
    counts = {"requested": 11, "up": 0, "done": 9, "lost": 1, "stopped": 0}
    overview = whole["overview"] | {"state": state, "left": None, "workers": counts, "items": items}
    server.snapshots[JOB] = whole | {"overview": overview, "workers": [worker_row(0, "unknown", ended=60.0)]}
    page = show(VIEW)
    assert word in text(page, "#now")
    assert "32 of 100 items are done" in text(page, "#now")
    figures = text(page, ".figures")
    for name in ("Workers up", "In a call", "Time left"):
        assert re.search(rf"{name}\s+\u2013", figures, re.IGNORECASE), name
    assert "10 ended, 1 lost" in figures
    assert "unknown" in text(page, "#panel-workers")
    assert page.problems(server.origin) == []


def test_the_stack_of_the_program_is_fetched(show: Show, server: PageServer) -> None:
    server.answers[f"jobs/{JOB}/where"] = {"stack": f"main waits in main.py, line 7 {HOSTILE}"}
    page = show(VIEW)
    assert text(page, "#fetch-program-stack") == "Program's stack"
    click(page, "#fetch-program-stack")
    until_text(page, "main waits in main.py, line 7", "#program-stack")
    assert page.problems(server.origin) == []


def test_running_jobs_come_first(show: Show, server: PageServer) -> None:
    server.jobs = [job_row("pi-ff00aa", program="pi/main.py", state="stopped", error="stopped by SIGINT"), job_row()]
    page = show()
    seen = page.run("[...document.querySelectorAll('tr.job td.name a')].map((one) => one.innerText)")
    assert seen == ["render/main.py", "pi/main.py"]


def test_workers_without_pools_report_their_progress(show: Show, server: PageServer) -> None:
    whole = snapshot(pools=[])
    overview = whole["overview"] | {"items": {"done": 0, "total": 0, "failed": 0, "running": 0}, "left": None}
    module = whole["modules"][0] | {"reports": True, "fraction": 0.25}
    server.snapshots[JOB] = whole | {"overview": overview, "modules": [module]}
    page = show(VIEW)
    assert "4 of 5 workers are in a call. 25 % of the work is done." in text(page, "#now")
    assert page.run("document.querySelector('.figures .progress').getAttribute('aria-valuenow')") == "25"


def test_workers_are_searched(show: Show) -> None:
    page = show(VIEW)
    page.run("document.getElementById('worker-search').focus()")
    page.type("lost")
    until_text(page, "1 worker found", "#panel-workers")
    assert page.run("document.querySelectorAll('#panel-workers tbody tr').length") == 1
    assert "render:1" in text(page, "#panel-workers")


def test_changes_arrive(show: Show, server: PageServer) -> None:
    page = show(VIEW)
    changed = worker_row(3, "lost", reason="killed by SIGSEGV")
    overview = server.snapshots[JOB]["overview"] | {"items": {"done": 700, "total": 1000, "failed": 9, "running": 4}}
    line = [500, 61.0, "render", 3, "a new line", 2]
    server.publish(
        f"jobs/{JOB}", {"reset": False, "now": 61.0, "overview": overview, "workers": [changed], "log": [line]}
    )
    until_text(page, "700 of 1,000 items")
    assert "3 of 4 workers are in a call" in text(page, "#now")
    assert "killed by SIGSEGV" in text(page, "#panel-workers")
    assert "a new line" in text(page, "#log")
    assert "render:2" in text(page, "#panel-workers"), "what is missing in a message is as it was"
    ended = overview | {"state": "failed", "error": "ItemError: item 9", "seconds": 62.0}
    server.publish(f"jobs/{JOB}", {"reset": False, "now": 62.0, "overview": ended, "explain": []})
    until_text(page, "Failed after 62 s")
    assert "ItemError: item 9" in text(page, "#now")


def test_what_programs_print_is_only_text(show: Show, server: PageServer) -> None:
    scripts = page_scripts = 1
    for view in ("#/jobs", VIEW, f"{VIEW}/worker/2"):
        page = show(view)
        assert page.run("document.scripts.length") == scripts == page_scripts
        assert page.run("document.images.length") == 1, "the icon"
        if view != "#/jobs":
            assert HOSTILE in text(page, "#log")
        for name in ("failed", "slowest"):
            if page.run(f"!!document.getElementById('tab-{name}')"):
                click(page, f"#tab-{name}")
                page.until(f"!!document.getElementById('panel-{name}')")
                assert "<script>window.hacked = 1</script>" in text(page, f"#panel-{name}")
        assert page.run("window.hacked") is None
        assert page.run("[...document.querySelectorAll('[onerror], [onclick]')].length") == 0
        assert page.problems(server.origin) == []


def test_the_log_is_searched_and_filtered(show: Show, server: PageServer) -> None:
    page = show(VIEW)
    assert text(page, "#log-found") == "61 lines"
    page.run("document.getElementById('log-search').focus()")
    page.type("LINE 42:")
    until_text(page, "1 line found", "#log-found")
    assert page.run("document.querySelector('#log mark').innerText") == "line 42:"
    page.run("document.getElementById('log-search').select()")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="Delete", windowsVirtualKeyCode=46)
    page.run("document.getElementById('log-worker').focus()")
    page.type("2")
    until_text(page, "10 lines found", "#log-found")
    page.run("""(() => { const level = document.getElementById("log-level"); level.value = "1";
                level.dispatchEvent(new Event("change", {bubbles: true})); })()""")
    until_text(page, "0 lines found", "#log-found")
    assert "No line is like that" in text(page, "#log")


def test_a_long_log_has_few_lines_in_the_document_and_follows_its_end(show: Show, server: PageServer) -> None:
    server.snapshots[JOB] = snapshot(lines=3000)
    page = show(VIEW)
    assert page.run("document.querySelectorAll('.line').length") < 80
    until_text(page, "line 2999:", "#log")
    page.run("document.querySelector('.lines').scrollTop = 0")
    until_text(page, "line 1001:", "#log")
    server.publish(f"jobs/{JOB}", {"now": 61.0, "log": [[5000, 61.0, "render", 1, "behind all others", 0]]})
    page.until("!!document.querySelector('.to-end')")
    assert "behind all others" not in text(page, "#log")
    click(page, ".to-end")
    until_text(page, "behind all others", "#log")


def test_a_worker_shows_its_call_its_calls_its_log_and_its_stack(show: Show, server: PageServer) -> None:
    why = [{"subject": "worker 2", "text": "does not read", "since": 50.0}]
    server.answers[f"jobs/{JOB}/workers/2"] = worker_page(2, server.snapshots[JOB], explain=why)
    server.answers[f"jobs/{JOB}/workers/2/stack"] = {"stack": f'File "main.py", line 7 in frame {HOSTILE}'}
    page = show(f"{VIEW}/worker/2")
    for part in (
        "render:2",
        "node3",
        "In frame for 5 s",
        "item 902:",
        "does not read",
        "40 messages",
        "line 2:",
        "93 %",
    ):
        assert part in text(page)
    click(page, "#fetch-stack")
    until_text(page, "line 7 in frame", "#stack")
    assert HOSTILE in text(page, "#stack")
    server.answers[f"jobs/{JOB}/workers/2"]["worker"] = worker_row(2, "lost")
    until_text(page, "killed by SIGKILL")
    page.until("document.getElementById('fetch-stack').disabled")
    assert page.problems(server.origin) == []


def test_a_stack_that_can_not_be_had_says_why(show: Show, server: PageServer) -> None:
    page = show(f"{VIEW}/worker/2")
    server.answers[f"jobs/{JOB}/workers/2/stack"] = {"error": "The runner does not answer."}
    click(page, "#fetch-stack")
    until_text(page, "The runner does not answer.", "#stack")


def test_the_cluster_shows_nodes_and_what_is_wrong_with_them(show: Show, server: PageServer) -> None:
    page = show("#/cluster")
    for part in (
        "node1",
        "ready",
        "drained",
        "down",
        "16 GiB",
        "render \u00d7 2",
        "28.5.2",
        "laptop",
        "1 node is ready, with 8 cores",
    ):
        assert part in text(page)
    server.answers["cluster"] |= {"available": False, "reason": "Docker is not in swarm mode.", "nodes": []}
    page = show("#/cluster")
    assert "Docker is not in swarm mode." in text(page)
    assert "laptop" in text(page)


def test_the_token_becomes_a_cookie_and_leaves_the_address(show: Show, server: PageServer) -> None:
    page = show()
    assert page.run("location.href") == server.url("#/jobs")
    assert page.run("history.length") <= 2
    assert page.run("document.cookie") == "", "scripts can't read it"
    page.call("Page.reload")
    until_text(page, "render/main.py")


def test_the_address_of_a_job_with_a_token_leads_to_it(browser: Browser, server: PageServer) -> None:
    page = browser.open(f"{server.login}&job={JOB}")
    until_text(page, "4 of 5 workers are in a call")
    assert page.run("location.href") == server.url(VIEW)
    page.close()


@pytest.mark.parametrize("view", ["#/jobs", VIEW, f"{VIEW}/worker/2", "#/cluster", "#token=wrong"])
def test_without_a_cookie_the_page_says_how_to_log_in(browser: Browser, server: PageServer, view: str) -> None:
    server.cookie = "of another start"
    page = browser.open(server.url(view))
    until_text(page, "Open the address that was printed")
    assert "aioparcs ui" in text(page)
    assert "wrong" not in page.run("location.href")
    page.close()


def test_an_unknown_job_is_not_found(show: Show) -> None:
    page = show("#/job/nothing")
    assert "There is no jobs/nothing." in text(page)


def test_the_page_reconnects_and_shows_what_is_there_then(show: Show, server: PageServer) -> None:
    page = show(VIEW)
    assert text(page, ".meta .link") == "live"
    server.stop()
    until_text(page, "disconnected, retrying", ".meta .link")
    assert "render:2" in text(page, "#panel-workers"), "the last data stays"
    server.snapshots[JOB] = snapshot(workers=2, lines=3)
    server.start()
    page.until("document.querySelector('.meta .link').innerText === 'live'")
    until_text(page, "4 lines", "#log-found")
    assert "render:2" not in text(page, "#panel-workers"), "a reset replaces all"
    server.cookie = "of another start"
    server.stop()
    until_text(page, "disconnected, retrying", ".meta .link")
    server.start()
    until_text(page, "Open the address that was printed")
