"""The projects that `aioparcs new` makes, as a user has them: each runs by the command that it prints."""

import csv
import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from aioparcs.cli.new import TEMPLATES
from tests.support.command import execute, run

pytestmark = pytest.mark.slow

PAGES = {
    "index.html": '<title>Home</title> <a href="a.html">A</a> <a href="gone.html">B</a> <a href="//other.test">C</a>',
    "a.html": '<title> A, "quoted" </title> <a class="back" href="index.html#top">back</a> <a href="sub/">sub</a>',
    "sub/index.html": "no title",
}
# The cells of a notebook, in a loop that runs already.
CELLS = """
import ast, asyncio, json
async def cells():
    for cell in json.load(open("notebook.ipynb"))["cells"]:
        if cell["cell_type"] == "code":
            code = compile("".join(cell["source"]), "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, globals())
            if result is not None:
                await result
asyncio.run(cells())
"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and prints nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextmanager
def site(folder: Path) -> Iterator[str]:
    """Serve pages over HTTP, and yield the address of the first one."""
    for name, text in PAGES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def test_each_template_makes_a_project_that_runs(tmp_path: Path) -> None:
    commands = {}
    for kind in TEMPLATES:
        made = run("new", f"my {kind}", "--template", kind, cwd=tmp_path)
        assert made.returncode == 0, made.stderr
        commands[kind] = shlex.split(made.stdout.splitlines()[-1])
        assert (tmp_path / f"my {kind}" / "README.md").read_text().startswith(f"# my {kind}\n")
    assert commands.pop("notebook") == ["jupyter", "lab", "my notebook"]

    with site(tmp_path / "site") as start:
        done = {kind: execute(command, tmp_path, START=start, COUNT="400") for kind, command in commands.items()}
    assert all(one.returncode == 0 for one in done.values()), [one.stderr for one in done.values()]
    assert done["file"].stdout == "17984 primes below 200000\n"
    assert done["pool"].stdout.endswith("0.0000 at 1, 1\n")
    assert done["conversation"].stdout == "the median of 10007 numbers is 4920\n"
    pages = dict(csv.reader(done["crawler"].stdout.splitlines()))
    assert "404" in pages.pop(f"{start}gone.html")
    assert pages == {
        start: "Home", f"{start}a.html": 'A, "quoted"', f"{start}index.html": "Home", f"{start}sub/": ""
    }  # fmt: skip

    folder = tmp_path / "my notebook"
    assert json.loads((folder / "notebook.ipynb").read_text())["cells"][0]["source"][0] == "# my notebook\n"
    cells = execute([sys.executable, "-c", CELLS], folder)
    assert (cells.returncode, cells.stdout) == (0, "17984 primes below 200000\n"), cells.stderr
    rules = [
        "--isolated",
        "--line-length",
        "120",
        "--ignore",
        "I",
    ]  # the order of imports depends on where a project is
    linted = execute([sys.executable, "-m", "ruff", "check", *rules, str(tmp_path)])
    assert linted.returncode == 0, linted.stdout


def test_an_unknown_template_is_refused(tmp_path: Path) -> None:
    done = run("new", "mine", "--template", "nothing", cwd=tmp_path)
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "'file', 'pool', 'conversation', 'crawler', 'notebook'" in done.stderr
