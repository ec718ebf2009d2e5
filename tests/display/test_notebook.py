"""The display of notebooks: what each cell has started, in a real kernel."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import execute

pytestmark = pytest.mark.slow

# In a process of its own: what a kernel's client leaves to the garbage collector is no affair of these tests. It prints
# the outputs of each cell, and the HTML of all renewals.
RUN = """
import json, nbformat, sys
from nbclient import NotebookClient

class Client(NotebookClient):
    def process_message(self, message, cell, index):
        data = message["content"].get("data", {})
        if "text/html" in data:
            renewals.setdefault(index, []).append(data["text/html"])
        return super().process_message(message, cell, index)

renewals = {}
cells = [nbformat.v4.new_code_cell(source) for source in json.loads(sys.argv[1])]
notebook = nbformat.v4.new_notebook(cells=cells)
Client(notebook, timeout=100, allow_errors=True).execute()
print(json.dumps([[cell.outputs, renewals.get(index, [])] for index, cell in enumerate(notebook.cells)]))
"""
FUNCTIONS = """
import time


def square(n):
    time.sleep(0.02)
    return n * n


def tell(n):
    print("got", n)
    return n


def fail(n):
    raise ValueError(f"no {n}")
"""
OPEN = "from aioparcs import Runner\nimport functions\nrunner = await Runner.open()"
POOL = """async with runner.pool(functions.square, 2, progress="<b>squares</b>") as pool:
    print(sum(await pool.map(range(60))))"""


def run(folder: Path, *cells: str, **variables: str) -> list[tuple[list[dict[str, Any]], list[str]]]:
    """Run the cells of a notebook; return the outputs of each, and the HTML of its display each time it changed."""
    (folder / "functions.py").write_text(FUNCTIONS)
    places = {"IPYTHONDIR": str(folder), "JUPYTER_RUNTIME_DIR": str(folder)}
    done = execute([sys.executable, "-c", RUN, json.dumps(cells)], folder, **places, **variables)
    assert done.returncode == 0, done.stderr
    return [(outputs, html) for outputs, html in json.loads(done.stdout)]


def tables(outputs: list[dict[str, Any]]) -> list[str]:
    return [output["data"]["text/plain"] for output in outputs if output["output_type"] == "display_data"]


def test_each_cell_shows_what_it_has_started_while_it_runs(tmp_path: Path) -> None:
    opened, first, second, closed = run(tmp_path, OPEN, POOL, POOL, "await runner.close()")
    assert opened == closed == ([], [])
    for outputs, html in (first, second):
        (table,) = tables(outputs)
        lines = table.split("\n")
        assert lines[-1].startswith("<b>squares</b>: 60 of 60 items in ")
        assert lines[-1].endswith("/s, 2 workers")
        assert len(html) >= 4, "it is renewed while the cell runs"
        assert 'max="60"' in html[-2]
        assert "&lt;b&gt;squares&lt;/b&gt;" in html[-1], "names are text"
        assert "<b>" not in "".join(html)
        assert {output.get("name") for output in outputs} == {None, "stdout"}


def test_a_pool_over_several_cells_is_below_its_first_one(tmp_path: Path) -> None:
    enter = "pool = await runner.pool(functions.square, 1).__aenter__()\nprint(await pool.map([3]))"
    use, leave = "print(await pool.map(range(30)))", "await pool.__aexit__()\nawait runner.close()"
    _, first, second, third = run(tmp_path, OPEN, enter, use, leave)
    (table,) = tables(first[0])
    assert "square: " in table  # nbclient ignores what comes for a cell that no longer runs; front ends don't
    assert tables(second[0]) == tables(third[0]) == []


def test_a_failing_worker_and_its_output(tmp_path: Path) -> None:
    cell = """async with runner.start_many(functions.square, 2) as tasks:
    print(await tasks[0].call(functions.square, 3))
    await tasks[1].kill()"""
    _, (outputs, html), _ = run(tmp_path, OPEN, cell, "await runner.close()")
    assert "2 workers ended" in tables(outputs)[0]
    assert "2 workers connected" in "".join(html)


def test_what_workers_print_is_below_the_cell_that_has_started_them(tmp_path: Path) -> None:
    watch = """import asyncio, sys
written, write = [], sys.stderr.write
sys.stderr.write = lambda text: (written.append(text), write(text))[1]"""
    cell = """async with runner.pool(functions.tell, 1) as pool:
    print(await pool.map([7]))
    while "got 7" not in "".join(written):  # output takes a way of its own
        await asyncio.sleep(0.01)
written.clear()"""
    opened, *both, _ = run(tmp_path, f"{OPEN}\n{watch}", cell, cell, "await runner.close()")
    for number, (outputs, _) in enumerate(both):
        printed = "".join(output["text"] for output in outputs if output.get("name") == "stderr")
        assert printed == f"tell:{number} | got 7\n"
    assert opened == ([], [])


def test_it_may_be_off(tmp_path: Path) -> None:
    _, (outputs, html), _ = run(tmp_path, OPEN, POOL, "await runner.close()", PARCS_PROGRESS="off")
    assert html == []
    assert [output["text"] for output in outputs] == ["70210\n"]


def test_tracebacks_show_the_frames_of_users_and_keep_the_others_for_debuggers(tmp_path: Path) -> None:
    cell = """async def work():
    async with runner.pool(functions.fail, 1) as pool:
        return await pool.map([7])

await work()"""
    check = """import sys, traceback
print("/aioparcs/pool/" in "".join(traceback.format_tb(sys.last_traceback)))"""
    grouped = "async with __import__('asyncio').TaskGroup() as group:\n    group.create_task(work())"
    _, (outputs, _), (checked, _), (both, _), _ = run(tmp_path, OPEN, cell, check, grouped, "await runner.close()")
    (error,) = [output for output in outputs if output["output_type"] == "error"]
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"]))
    assert error["ename"] == "RemoteError"
    assert "pool.map" in text
    assert "await work()" in text
    assert "aioparcs/pool" not in text
    assert "asyncio/" not in text
    assert [output["text"] for output in checked] == ["True\n"]
    shown = "".join(output.get("text", "") for output in both)
    assert "no 7" in shown
    assert "in work" in shown
    assert "aioparcs/pool" not in shown
    assert "taskgroups.py" not in shown


def test_a_handler_of_the_user_stays(tmp_path: Path) -> None:
    handler = "get_ipython().set_custom_exc((ValueError,), lambda *_, **__: print('mine'))"
    _, _, (outputs, _), _ = run(tmp_path, handler, OPEN, "raise ValueError('x')", "await runner.close()")
    assert [output["text"] for output in outputs] == ["mine\n"]
