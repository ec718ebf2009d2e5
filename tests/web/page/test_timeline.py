"""The timeline of a job, in Chromium: what is drawn, and how mouse, wheel and keys move it."""

from typing import Any

import pytest

from tests.support.browser import Page
from tests.web.page.conftest import Show
from tests.web.page.job_data import JOB, snapshot
from tests.web.page.page_server import PageServer

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

VIEW = f"#/job/{JOB}"
# How many pixels of the timeline have each colour.
PIXELS = """new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
  const canvas = document.getElementById("rows");
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const counts = {};
  for (let i = 0; i < data.length; i += 4) {
    const key = data.slice(i, i + 3).join();
    counts[key] = (counts[key] || 0) + 1;
  }
  done(counts);
})))"""
FRAME, MERGE, BAD = "59,130,196", "42,157,127", "192,39,31"


def label(page: Page) -> str:
    """Return the name of the timeline, which has the times that are seen, after it was drawn."""
    page.run(PIXELS)
    return str(page.run('document.getElementById("scroller").getAttribute("aria-label")')).replace("\xa0", " ")


def box(page: Page) -> tuple[float, float, float, float]:
    page.run('document.getElementById("scroller").scrollIntoView({block: "center"})')
    x, y, width, height = page.run(
        '(({x, y, width, height}) => [x, y, width, height])(document.getElementById("rows").getBoundingClientRect())'
    )
    return x, y, width, height


def pressed(page: Page, name: str) -> bool:
    return bool(page.run(f'document.getElementById("{name}").getAttribute("aria-pressed") === "true"'))


def wheel(page: Page, x: float, y: float, by: float, modifiers: int) -> None:
    page.move(x, y, kind="mouseWheel", deltaX=0, deltaY=by, modifiers=modifiers)


def test_calls_have_the_colours_of_their_functions_and_failed_ones_are_red(show: Show) -> None:
    page = show(VIEW)
    colours = page.run(PIXELS)
    for colour in (FRAME, MERGE, BAD):
        assert colours.get(colour, 0) > 100, colour
    legend = page.run("document.querySelector('#timeline .legend').innerText")
    for part in ("frame", "merge", "waiting", "starting", "failed", "lost"):
        assert part in legend


def tip_at(page: Page, x: float, y: float) -> str:
    """Move the mouse, and return what is said of the place once it is drawn."""
    page.move(x, y)
    page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return str(page.run("document.getElementById('tip')?.innerText ?? ''"))


def test_keys_zoom_and_move(show: Show) -> None:
    page = show(VIEW)
    page.run('document.getElementById("scroller").focus()')
    whole = label(page)
    assert whole.startswith("Timeline of 6 workers, from 0.00 s to ")
    page.press("+")
    assert "from 2" in label(page), "the live edge stays"
    assert pressed(page, "follow")
    page.press("ArrowLeft")
    assert not pressed(page, "follow")
    moved = label(page)
    page.press("ArrowRight")
    page.press("ArrowRight")
    assert pressed(page, "follow"), "at the edge it is followed again"
    page.press("ArrowLeft")
    page.press("ArrowLeft")
    assert label(page) != moved
    page.press("f")
    assert pressed(page, "follow")
    page.press("0")
    assert "from 0.00 s" in label(page)
    page.press("b")
    assert pressed(page, "bands")
    page.press("b")
    assert not pressed(page, "bands")


def test_the_mouse_zooms_drags_and_opens_a_worker(show: Show, server: PageServer) -> None:
    page = show(VIEW)
    x, y, width, height = box(page)
    middle = (x + width / 2, y + height / 2)
    before = page.run("scrollY")
    wheel(page, *middle, by=-300, modifiers=2)
    page.until("""document.getElementById("follow").getAttribute("aria-pressed") === "false" """)
    zoomed = label(page)
    page.move(*middle, kind="mousePressed", button="left", clickCount=1)
    page.move(middle[0] - 80, middle[1], buttons=1)
    page.move(middle[0] - 80, middle[1], kind="mouseReleased", button="left", clickCount=1)
    assert label(page) != zoomed
    assert page.run("scrollY") == before, "the page did not scroll"
    assert page.run("location.hash") == VIEW, "a drag is no click"
    rows = page.run("document.getElementById('rows').clientHeight") - 26
    server.answers[f"jobs/{JOB}/workers/0"] = server.answers[f"jobs/{JOB}/workers/2"]
    x, y, *_ = box(page)
    # The worker's name, behind that of the first node: of the calls, which move with the clock, one has failed.
    at = (x + 60, y + 22 + rows / 9 * 1.5)
    page.move(*at, kind="mousePressed", button="left", clickCount=1)
    page.move(*at, kind="mouseReleased", button="left", clickCount=1)
    page.until(f"location.hash.startsWith('{VIEW}/worker/')")


def test_the_mouse_finds_calls(show: Show) -> None:
    page = show(VIEW)
    x, y, width, _ = box(page)
    wanted = {
        "render:0 on node1",
        "frame: item ",
        "merge: item ",
        "1.2 s at ",
        "ValueError: </script><script>",
        "not requested",
    }
    for i in range(80):
        tip = tip_at(page, x + 116 + (width - 118) * i / 80, y + 22 + 30).replace("\xa0", " ")
        wanted -= {part for part in wanted if part in tip}
        if not wanted:
            break  # each look takes a while
    assert not wanted
    page.move(2, 2)
    page.until("!document.getElementById('tip')")


def test_the_live_edge_moves_until_one_pans(show: Show, server: PageServer) -> None:
    page = show(VIEW)
    page.run('document.getElementById("scroller").focus()')
    server.publish(f"jobs/{JOB}", {"now": 100.0})
    page.until("/ to 1\\d\\d/.test(document.getElementById('scroller').getAttribute('aria-label'))")
    page.press("+")
    page.press("ArrowLeft")
    seen = label(page)
    server.publish(f"jobs/{JOB}", {"now": 200.0, "log": [[900, 200.0, "render", 0, "much later", 0]]})
    page.until("document.getElementById('log').innerText.includes('much later')")
    assert label(page) == seen
    page.run("document.getElementById('follow').click()")
    page.until("/ to 20\\d/.test(document.getElementById('scroller').getAttribute('aria-label'))")


def test_an_ended_job_stands_still(show: Show, server: PageServer) -> None:
    overview: Any = server.snapshots[JOB]["overview"]
    server.snapshots[JOB] = snapshot(overview=overview | {"state": "done"}, explain=[])
    page = show(VIEW)
    assert label(page).endswith("to 60.00 s")
    assert page.run("document.getElementById('follow')") is None
    assert "Finished after 60 s" in str(page.run("document.getElementById('now').innerText")).replace("\xa0", " ")


def test_a_thousand_workers_are_bands_and_few_rows_of_the_document(show: Show, server: PageServer) -> None:
    server.snapshots[JOB] = snapshot(workers=1000, spans=30, lines=2000)
    page = show(VIEW)
    assert pressed(page, "bands")
    assert page.run(PIXELS).get("59,130,196", 0) + len(page.run(PIXELS)) > 10
    assert page.run("document.getElementById('scroller').scrollHeight") < 1300
    assert page.run("document.getElementsByTagName('*').length") < 2500
    assert page.run("document.querySelectorAll('#panel-workers tr').length") < 60
    page.run(
        "(() => { const all = document.querySelector('#panel-workers .scroll'); all.scrollTop = all.scrollHeight; })()"
    )
    page.until("document.querySelector('#panel-workers').innerText.includes('render:999')")
    assert page.run("document.querySelectorAll('#panel-workers tr').length") < 60
    assert page.run("document.querySelector('#panel-workers table').getAttribute('aria-rowcount')") == "1001"
    page.run('document.getElementById("scroller").focus()')
    page.press("b")
    page.until("document.getElementById('scroller').scrollHeight > 15000")
    page.run("document.getElementById('scroller').scrollTop = 9000")
    assert page.run(PIXELS).get(FRAME, 0) > 100, "rows far below are drawn too"
    page.run("document.getElementById('tab-tree').click()")
    page.until("document.querySelectorAll('svg.tree rect').length > 0")
    assert page.run("document.querySelectorAll('svg.tree *').length") < 40
    assert page.problems(server.origin) == []


def test_a_job_of_little_is_a_page_too(show: Show, server: PageServer) -> None:
    nothing: dict[str, list[Any]] = {
        name: [] for name in ("pools", "functions", "nodes", "series", "peers", "explain", "log")
    }
    whole = snapshot(workers=0, spans=0, lines=0, now=0.0, **nothing)
    counts = dict.fromkeys(("requested", "up", "done", "lost", "stopped"), 0)
    server.snapshots[JOB] = whole | {"overview": whole["overview"] | {"workers": counts}}
    page = show(VIEW)
    assert "requested no worker yet" in page.run("document.getElementById('now').innerText")
    assert "It waits for nothing." in page.run("document.getElementById('now').innerText")
    assert page.problems(server.origin) == []
