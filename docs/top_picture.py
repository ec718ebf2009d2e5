"""
Draw the picture of the live view that docs/top.md shows: ``python docs/top_picture.py`` writes ``docs/top.svg``.

The job is a real one, on this machine, and is stopped when the picture is drawn.
"""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from aioparcs.monitor import Jobs
from aioparcs.recording.store import histories
from aioparcs.top.app import TopApp
from aioparcs.top.sources import JobSource

SIZE = (100, 24)  # columns and lines
SECONDS = 25.0  # after which the picture is drawn
PROGRAM = """
import asyncio, random, time
from aioparcs import run

def render(frame):
    if frame % 40 == 7:
        raise ValueError(f"frame {frame} has no light")
    time.sleep(60 if frame == 150 else random.uniform(0.05, 0.4))

def encode(frame):
    time.sleep(random.uniform(0.02, 0.3))

async def main(runner):
    async with runner.pool(render, 8) as frames, runner.pool(encode, 4) as videos:
        await asyncio.gather(frames.map(range(2000), return_exceptions=True), videos.map(range(1500)))

run(main)
"""


def main() -> None:
    """Run the job, draw its page, and stop it."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(XDG_STATE_HOME=folder, PARCS_RECORD=f"{folder}/run.jsonl")
        program = Path(folder, "video", "main.py")
        program.parent.mkdir()
        program.write_text(PROGRAM)
        with subprocess.Popen([sys.executable, program], stderr=subprocess.DEVNULL) as process:
            svg = asyncio.run(draw())
            process.terminate()
    fonts = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # which every reader would fetch from elsewhere
    Path(__file__).with_name("top.svg").write_text(fonts.sub("", svg), encoding="utf-8")


async def draw() -> str:
    """Return the picture of the only job, some seconds from now."""
    await asyncio.sleep(SECONDS)
    app = TopApp(Jobs(), JobSource(histories()[0]))
    async with app.run_test(size=SIZE) as pilot:
        await asyncio.sleep(3)
        await pilot.pause()
        return app.export_screenshot(simplify=True)


main()
