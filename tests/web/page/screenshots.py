"""
The pictures of the page in ``docs/pictures``: ``python -m tests.web.page.screenshots``.

A program with several pools runs on this machine, `aioparcs ui` shows it, and Chromium takes the pictures.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image

from tests.support.browser import Browser, Page, chromium
from tests.support.command import COMMAND, ENVIRONMENT
from tests.web.page.live import Ui, ui

PICTURES = Path(__file__).parents[3] / "docs/pictures"
LARGEST = 150_000  # bytes of a picture
_WIDTH, _HEIGHT = 1280, 900
_ENOUGH = 60.0  # seconds of the program that are seen
_PROGRAM = """
import asyncio
import random
import time

from aioparcs import Runner, run


def frame(n: int) -> int:
    chance = random.Random(n)
    time.sleep(chance.uniform(0.2, 1.2) * (9 if n % 97 == 50 else 1))
    if n % 83 == 20:
        raise ValueError(f"scene {n // 20}: the texture wood.png is missing")
    if n % 3 == 0:
        print(f"frame {n}: 1920 x 1080, {chance.randint(20, 90)} MB")
    return n


def denoise(n: int) -> int:
    time.sleep(random.Random(n).uniform(0.3, 0.9))
    return n


def join(n: int) -> int:
    time.sleep(random.Random(n).uniform(1.5, 4))
    print(f"scene {n}: joined 24 frames")
    return n


async def main(runner: Runner) -> None:
    async with runner.pool(frame, 8) as frames, runner.pool(denoise, 4) as denoised, runner.pool(join, 2) as joined:
        await asyncio.gather(
            frames.map(range(1400), return_exceptions=True), denoised.map(range(800)), joined.map(range(60))
        )


run(main)
"""


def take(page: Page, name: str) -> None:
    """Write what is seen into a file."""
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        page.screenshot(Path(file.name))
        picture = Image.open(file.name).convert("RGB")
    written = BytesIO()
    picture.save(written, "WEBP", quality=82, method=6)
    assert len(written.getvalue()) < LARGEST, f"{name} has {len(written.getvalue())} bytes"
    (PICTURES / f"{name}.webp").write_bytes(written.getvalue())
    print(f"{name}.webp: {len(written.getvalue()):,} bytes")


@contextmanager
def program(folder: Path) -> Iterator[None]:
    """Run the program while the block runs."""
    (folder / "render").mkdir()
    (folder / "render/main.py").write_text(_PROGRAM)
    variables = {"PARCS_UI": "1", "XDG_STATE_HOME": os.environ["XDG_STATE_HOME"]}
    process = subprocess.Popen(
        [COMMAND[0], "main.py"], cwd=folder / "render", env=ENVIRONMENT | variables, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def take_all(browser: Browser, server: Ui) -> None:
    """Write the pictures of a program that has run for a while."""
    for scheme in ("light", "dark"):
        page = browser.open(server.address, width=_WIDTH, height=_HEIGHT, dark=scheme == "dark")
        page.until("!!document.querySelector('tr.job a')")
        page.run("document.querySelector('tr.job a').click()")
        page.until("!!document.querySelector('#rows')")
        page.until("!!document.querySelector('.explain')", _ENOUGH)
        take(page, f"ui-job-{scheme}")
        page.run("document.querySelector('#panel-workers a').click()")
        page.until("!!document.getElementById('fetch-stack')")
        page.run("document.getElementById('fetch-stack').click()")
        page.until("!!document.querySelector('.stack')")
        if scheme == "dark":
            take(page, "ui-worker-dark")
        page.close()


def main() -> None:
    """Write all pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        with program(folder), ui("--control") as server, chromium(folder) as browser:
            time.sleep(_ENOUGH)
            take_all(browser, server)


if __name__ == "__main__":
    main()
