"""The page of a report, as people see it: in Chromium, from a file."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aioparcs.events import ProgramEnding
from aioparcs.recording import Recording
from aioparcs.recording.report import LARGEST, render_report
from tests.support.browser import Browser, Page, chromium
from tests.support.recordings import conversation, recording, started

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

Open = Callable[..., Page]
# The share of the timeline's pixels that have a colour of calls, waiting or an error.
PIXELS = """(() => {
  const canvas = document.getElementById("rows");
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const counts = {};
  for (let i = 0; i < data.length; i += 4) {
    const key = data.slice(i, i + 3).join();
    counts[key] = (counts[key] || 0) + 1;
  }
  return counts;
})()"""
# The texts of all canvases, drawn again.
TEXTS = """(() => {
  const texts = [], draw = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
    texts.push(text);
    draw.call(this, text, ...rest);
  };
  window.dispatchEvent(new Event("resize"));
  return texts;
})()"""
RED, TALK = (198, 40, 40), (69, 82, 93)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Open:
    """Open the report on a recording, and check that nothing goes wrong."""

    def show(made: Recording, **size: Any) -> Page:
        text = render_report(made)
        assert len(text.encode()) < LARGEST
        (tmp_path / "report.html").write_text(text)
        page = browser.open((tmp_path / "report.html").as_uri(), **size)
        assert page.problems() == []
        assert page.run("window.hacked") is None
        return page

    return show


def label(page: Page) -> str:
    return str(page.run('document.getElementById("scroller").getAttribute("aria-label")'))


def count(page: Page, colour: tuple[int, int, int]) -> int:
    return int(page.run(PIXELS).get(",".join(map(str, colour)), 0))


def box(page: Page) -> tuple[float, float, float, float]:
    page.run('document.getElementById("scroller").scrollIntoView()')
    found = page.run(
        '(({x, y, width, height}) => [x, y, width, height])(document.getElementById("rows").getBoundingClientRect())'
    )
    x, y, width, height = found
    return x, y, width, height


def test_the_page_shows_what_was_recorded(show: Open) -> None:
    page = show(recording(4, 60, error="ValueError: bad"))
    text = page.run("document.body.innerText")
    for part in ("render/main.py", "ValueError: bad", "Duration", "240", "Utilisation", "node1", "render:1", "SIGKILL"):
        assert part in text
    assert page.run('document.getElementById("failure").getBoundingClientRect().top') < page.run(
        'document.getElementById("overview").getBoundingClientRect().top'
    ), "the error is first"
    assert "line 99: </script>" in page.run('document.getElementById("failure-lines").innerText')
    colours = page.run(PIXELS)
    assert len(colours) > 20
    assert count(page, RED) > 20, "failed calls are red"
    assert page.problems() == []


def test_the_timeline_shows_conversations(show: Open) -> None:
    assert "talking" not in show(recording(2, 5)).run('document.getElementById("legend").innerText')
    page = show(conversation())
    assert "talking" in page.run('document.getElementById("legend").innerText')
    assert count(page, TALK) > 200
    x, y, width, _ = box(page)
    page.move(x + 132 + (width - 132) / 12, y + 22 + 20 + 10)
    assert page.run('document.getElementById("tip").innerText').endswith("talking: 8 messages in 1.50 s")
    page.run('document.getElementById("scroller").focus()')
    page.press("b")
    assert count(page, TALK) == 0, "a band is paler where only some of its workers talk"
    page.move(x + 132 + (width - 132) / 12, y + 22 + 15 + 8)
    assert "0 in a call, 1 talking, 1 connected" in page.run('document.getElementById("tip").innerText')


def test_a_program_that_was_stopped_has_not_failed(show: Open) -> None:
    made = conversation()
    made.events[-1] = ProgramEnding(made.events[-1].time, "stopped by SIGTERM")
    page = show(made)
    assert " · stopped · " in page.run('document.getElementById("subtitle").textContent')
    assert page.run('document.getElementById("failure-title").textContent') == "Stopped"
    drawn = page.run(TEXTS)
    assert "10 s" in drawn
    assert not any("e-" in text for text in drawn), "it has had no calls"


def test_what_programs_print_is_only_text(show: Open) -> None:
    page = show(recording(2, 60))
    assert page.run("document.scripts.length") == 2
    assert page.run("document.images.length") == 0
    assert "<script>window.hacked = 1</script>" in page.run('document.getElementById("lines").innerText')
    assert "<script>window.hacked = 1</script>" in page.run('document.getElementById("tables").innerText')
    x, y, width, _ = box(page)
    for i in range(20):
        page.move(x + 132 + (width - 132) * i / 20, y + 22 + 20 + 10)
    assert page.run("window.hacked") is None


def test_the_timeline_is_zoomed_and_moved_by_the_keyboard(show: Open) -> None:
    page = show(recording(3, 30))
    whole = label(page)
    page.run('document.getElementById("scroller").focus()')
    before = page.run(PIXELS)
    page.press("+")
    zoomed = label(page)
    assert zoomed != whole
    assert page.run(PIXELS) != before
    page.press("ArrowLeft")
    assert label(page) != zoomed
    page.press("ArrowRight")
    assert label(page) == zoomed
    page.press("-")
    page.press("0")
    assert label(page) == whole
    page.press("b")
    assert page.run('document.getElementById("bands").getAttribute("aria-pressed")') == "true"


def test_the_timeline_is_zoomed_by_the_wheel_and_moved_by_dragging(show: Open) -> None:
    page = show(recording(3, 30))
    whole = label(page)
    x, y, width, height = box(page)
    middle = (x + width / 2, y + height / 2)
    page.move(*middle, kind="mouseWheel", deltaX=0, deltaY=-300, modifiers=2)
    page.until(f'document.getElementById("scroller").getAttribute("aria-label") !== {whole!r}')
    zoomed = label(page)
    page.move(*middle, kind="mousePressed", button="left", clickCount=1)
    page.move(middle[0] - 80, middle[1], buttons=1)
    page.move(middle[0] - 80, middle[1], kind="mouseReleased", button="left", clickCount=1)
    assert label(page) not in (zoomed, whole)


def test_a_tooltip_names_the_call(show: Open) -> None:
    page = show(recording(1, 20, nodes=1))
    x, y, width, _ = box(page)
    texts = set()
    for i in range(40):
        page.move(x + 132 + (width - 134) * i / 40, y + 22 + 20 + 10)
        texts.add(page.run('document.getElementById("tip").innerText'))
    shown = "\n".join(texts)
    for part in ("render:0 on node1", "frame: item ", "merge: item ", "ms at", "waiting", "starting for 500 ms"):
        assert part in shown
    page.move(2, 2)
    page.until('document.getElementById("tip").hidden')


def test_the_log_is_searched(show: Open) -> None:
    page = show(recording(3, 10))
    page.run('document.getElementById("search").focus()')
    page.call("Input.insertText", text="LINE 42:")
    assert page.run('document.getElementById("found").innerText') == "1 line"
    lines = page.run('document.getElementById("lines").innerText')
    assert "line 42:" in lines
    assert "line 41:" not in lines
    assert page.run('document.querySelector("mark").innerText') == "line 42:"


def test_a_table_is_sorted_by_a_column(show: Open) -> None:
    page = show(recording(3, 60))
    table = 'document.querySelector("section[aria-labelledby=table-functions]")'
    cells = f'Array.from({table}.querySelectorAll("tbody td:first-child"), (one) => one.innerText)'
    assert page.run(cells) == ["frame", "merge"]
    for _ in range(2):
        page.run(f'{table}.querySelectorAll("th button")[1].click()')
    assert page.run(cells) == ["merge", "frame"]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 390])
def test_on_a_phone_nothing_is_wider_than_the_page(show: Open, width: int, dark: bool) -> None:
    page = show(recording(5, 60, error=f"ValueError: {'x' * 500}"), width=width, height=800, dark=dark)
    assert page.run("document.documentElement.scrollWidth") <= width
    background = page.run("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(20, 24, 27)" if dark else "rgb(251, 251, 250)")


def test_many_workers_are_bands_in_less_than_a_megabyte(show: Open) -> None:
    page = show(recording(1000, 30, nodes=8, lines=20_000))
    assert page.run('document.getElementById("bands").getAttribute("aria-pressed")') == "true"
    assert len(page.run(PIXELS)) > 20
    assert "left out" in page.run('document.getElementById("lines").innerText')
    rows = page.run('document.getElementById("scroller").scrollHeight')
    assert rows < 1300, "the rows are few enough to be looked through"
    page.run('document.getElementById("scroller").focus()')
    page.press("b")
    assert page.run('document.getElementById("scroller").scrollHeight') > 15_000
    assert page.problems() == []


@pytest.mark.parametrize("made", [Recording(started(), [], 0), recording(1, 0), recording(0, 0, nodes=0)])
def test_a_recording_of_little_is_a_page_too(show: Open, made: Recording) -> None:
    page = show(made)
    assert "render/main.py" in page.run("document.body.innerText")
