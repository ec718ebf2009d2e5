"""The display of a notebook in JupyterLab, in a real browser."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.browser import chromium

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # JupyterLab takes seconds to start, and its kernel too

FUNCTIONS = """
import time


def square(n):
    time.sleep(0.02)
    return n * n


def fail(n):
    raise ValueError(f"no {n}")
"""
CELLS = (
    "from aioparcs import Runner\nimport functions\nrunner = await Runner.open()",
    'async with runner.pool(functions.square, 2, progress="<b>squares</b>") as pool:\n'
    "    print(sum(await pool.map(range(100))))",
    "async with runner.pool(functions.fail, 1) as pool:\n    await pool.map([7])",
)
READY = "globalThis.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
CELL = "document.querySelectorAll('.jp-Notebook .jp-CodeCell')[{}]?"


@contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """Run JupyterLab with its files in a folder, and provide the URL of the notebook there."""
    places = {
        name: str(folder / "jupyter") for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0", "--ip=127.0.0.1",
               "--expose-app-in-browser", f"--ServerApp.root_dir={folder}", "--LabApp.extension_manager=readonly",
               "--LabApp.news_url=None"]  # fmt: skip
    log = folder / "jupyterlab.log"
    environment = os.environ | places | {"HOME": str(folder), "IPYTHONDIR": str(folder / "ipython")}
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output, env=environment) as process:
        try:
            deadline = time.monotonic() + 120
            while not (found := list((folder / "jupyter").glob("jpserver-*.json"))):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            server = json.loads(found[0].read_text())
            yield f"{server['url']}lab/tree/work.ipynb?token={server['token']}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def test_progress_is_live_and_tracebacks_are_short(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / "functions.py").write_text(FUNCTIONS)
    code: dict[str, object] = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [{**code, "id": f"cell-{number}", "source": source} for number, source in enumerate(CELLS)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": cells}
    (folder / "work.ipynb").write_text(json.dumps(notebook))
    with chromium(tmp_path) as browser, jupyterlab(folder) as url:
        page = browser.open(url, ready=READY)
        page.run("void jupyterapp.commands.execute('notebook:run-all-cells')")
        progress = f"{CELL.format(1)}.querySelector('progress[max=\"100\"]')"
        page.until(f"{progress}?.value > 0")
        page.until(f"{CELL.format(1)}.innerText.includes('328350')")
        page.until(f"{progress}?.value === 100")
        assert "<b>squares</b>" in page.run(f"{progress}.closest('table').innerText"), "names are text"
        page.until(f"{CELL.format(2)}.innerText.includes('no 7')")
        shown = page.run(f"{CELL.format(2)}.querySelector('.jp-Cell-outputArea').innerText")
        assert "await pool.map([7])" in shown
        assert "aioparcs/pool" not in shown
