"""The notebook of the examples runs from its first cell to its last, and shows what it shows."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import EXAMPLES, execute
from tests.support.examples import shape

NOTEBOOK = EXAMPLES / "notebook.ipynb"
# In a process of its own: what a kernel's client leaves to the garbage collector is no affair of these tests.
RUN = """
import nbformat, sys
from nbclient import NotebookClient
notebook, folder, result = sys.argv[1:]
cells = nbformat.read(notebook, 4)
NotebookClient(cells, timeout=100, resources={"metadata": {"path": folder}}).execute()
nbformat.write(cells, result)
"""


def code_cells(notebook: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]


def shown(cell: dict[str, Any]) -> list[tuple[str, bool]]:
    """Return the texts that a cell shows, and whether there is a picture with each."""
    found = []
    for output in cell["outputs"]:
        data = output.get("data", {})
        text = "".join(output.get("text") or data["text/plain"])
        if output.get("name") != "stderr" and "aioparcs" not in output.get("metadata", {}):  # how far the workers are
            found.append((shape(text), "image/png" in data))
    return found


@pytest.mark.slow
def test_the_notebook_shows_what_happens(tmp_path: Path, packages: str) -> None:
    places = {"IPYTHONDIR": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path), "XDG_CACHE_HOME": packages}
    command = [sys.executable, "-c", RUN, str(NOTEBOOK), str(EXAMPLES), str(tmp_path / "done.ipynb")]
    done = execute(command, tmp_path, **places)
    assert done.returncode == 0, done.stderr
    for before, now in zip(code_cells(NOTEBOOK), code_cells(tmp_path / "done.ipynb"), strict=True):
        assert shown(now) == shown(before)


def test_the_notebook_is_committed_cleanly() -> None:
    assert NOTEBOOK.stat().st_size < 150_000
    cells = code_cells(NOTEBOOK)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not any(cell["metadata"] for cell in cells), "the times of a run are not committed"
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not any(output["output_type"] == "error" or output.get("name") == "stderr" for output in outputs)
    assert not any("aioparcs" in output.get("metadata", {}) for output in outputs), "how long it took on one machine"
