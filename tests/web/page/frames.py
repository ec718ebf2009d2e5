"""
The frame times of a page with a job of 1,000 workers: ``python -m tests.web.page.frames``.

Chromium scrolls the timeline, a row for each worker, and the table of workers by a bit in each frame. A frame's time is
that between two calls of `requestAnimationFrame`. The command prints the table of `docs/ui.md`.
"""

import os
import tempfile
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from aioparcs.recording.store import store_folder
from tests.support.browser import Page, chromium
from tests.support.recordings import recording, write_recording
from tests.web.page.live import ui

__all__ = ["TABLE", "TIMELINE", "WORKERS", "Scrolled", "open_job", "scroll"]

WORKERS, CALLS, LINES = 1000, 60, 5000
FRAMES = 300
TIMELINE, TABLE = "#scroller", "#panel-workers .scroll"
_SCROLL = """new Promise((done) => {
  const box = document.querySelector(%r), canvas = document.getElementById("rows"), times = [];
  const most = {rows: 0, elements: 0, excess: -Infinity}, step = (box.scrollHeight - box.clientHeight) / %d;
  box.scrollIntoView({block: "center"});
  const next = (now) => {
    times.push(now);
    most.rows = Math.max(most.rows, document.querySelectorAll("#panel-workers tr").length);
    most.elements = Math.max(most.elements, document.getElementsByTagName("*").length);
    most.excess = Math.max(most.excess, canvas.clientWidth - innerWidth, canvas.clientHeight - innerHeight);
    most.excess = Math.max(most.excess, canvas.width / devicePixelRatio - innerWidth);
    box.scrollTop = step * times.length;
    if (times.length <= %d) requestAnimationFrame(next);
    else done([times.slice(1).map((time, i) => time - times[i]), most.rows, most.elements, most.excess, box.scrollTop]);
  };
  requestAnimationFrame(next);
})"""


class Scrolled(NamedTuple):
    """
    What was seen while something was scrolled from its beginning to its end.

    Attributes:
        frames: the milliseconds between two frames.
        rows: the most rows of the table of workers that were in the document.
        elements: the most elements that were in the document.
        excess: by how many pixels the timeline's canvas was larger than the window, negative where it was smaller.
        place: how far it was scrolled.
    """

    frames: list[float]
    rows: int
    elements: int
    excess: float
    place: float


def scroll(page: Page, selector: str, frames: int = FRAMES) -> Scrolled:
    """Scroll an element from its beginning to its end, a bit in each frame."""
    return Scrolled(*page.run(_SCROLL % (selector, frames, frames)))


def open_job(page: Page) -> None:
    """Open the only job, with a row of the timeline for each worker."""
    page.until("!!document.querySelector('tr.job a')")
    page.run("document.querySelector('tr.job a').click()")
    page.until("!!document.getElementById('now')")
    page.run("document.getElementById('scroller').focus()")
    page.press("b")
    page.until("document.getElementById('scroller').scrollHeight > 15000")


def main() -> None:
    """Print the frame times."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        store_folder().mkdir(parents=True)
        write_recording(store_folder() / "render-0123ab.jsonl", recording(WORKERS, CALLS, nodes=8, lines=LINES))
        with ui() as server, chromium(folder) as browser:
            page = browser.open(server.address)
            print(f"{browser.call('Browser.getVersion')['product']}, {os.cpu_count()} cores\n")
            open_job(page)
            print("| scrolled | median | 95 % below | longest | frames |\n|---|---|---|---|---|")
            for what, selector in (("the timeline", TIMELINE), ("the table of workers", TABLE)):
                frames = scroll(page, selector).frames
                below = quantiles(frames, n=20)[-1]
                print(f"| {what} | {median(frames):.1f} ms | {below:.1f} ms | {max(frames):.1f} ms | {len(frames)} |")


if __name__ == "__main__":
    main()
