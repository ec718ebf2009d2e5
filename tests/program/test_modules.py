"""Functions and services in modules, which workers import: no program is run again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aioparcs import RemoteError, StartError
from tests.program.helpers import Echo, Parent, is_loaded, launcher, negate, square
from tests.support.jobs import ENVIRONMENT, EventRecorder, execute, job

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]


async def test_functions_and_services_of_a_test() -> None:
    async with job() as runner:
        async with runner.pool(square, 2) as pool:
            assert await pool.map(range(5)) == [0, 1, 4, 9, 16]
            assert await pool.map([1], function=negate) == [-1]
            assert await pool.submit(function=launcher) != os.getpid()
        async with runner.start(Echo) as echo, runner.start(Parent) as parent:
            await echo.send([1])
            assert await echo.recv() == [1]
            await parent.send(3)
            assert await parent.recv() == 9


async def test_functions_of_other_files_are_imported_when_they_are_called() -> None:
    from tests.support import waiting

    async with job() as runner, runner.pool(square, 1) as pool:
        with pytest.raises(RemoteError, match="TypeError"):
            await pool.submit(1, function=waiting.until)  # found, and called
        with pytest.raises(RemoteError, match=r"subprocess is not one of the program's own files; start a") as caught:
            await pool.submit(["true"], function="subprocess:check_output")
        assert isinstance(caught.value, LookupError)
        assert str(caught.value).count("LookupError") == 1
        assert "File" not in caught.value.traceback


async def test_functions_that_the_workers_of_a_pool_cannot_find_are_refused_at_once() -> None:
    async with job() as runner, runner.pool(square, 1) as pool:
        sentence = (
            r"^subprocess\.check_output is not in one of the program's own files, whose functions the workers of this "
            r"pool call: make a pool of it, runner\.pool\(subprocess\.check_output, \.\.\.\)$"
        )
        with pytest.raises(TypeError, match=sentence):
            pool.submit(["true"], function=subprocess.check_output)
        with pytest.raises(TypeError, match=sentence):
            await pool.map([["true"]], function=subprocess.check_output)
        with pytest.raises(TypeError, match=sentence):
            runner.pool(square, 1, function=subprocess.check_output)
        with pytest.raises(LookupError, match=r"\(the program itself is not run here; start a pool of that function\)"):
            await pool.submit(1, function="__main__:mine")


def test_a_function_of_the_program_beside_a_pool_of_a_modules_function(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def double(x):\n    return 2 * x\n")
    (tmp_path / "main.py").write_text(
        "import helper\nfrom aioparcs import run\n\ndef mine(x):\n    return -x\n\nasync def main(runner):\n"
        "    async with runner.pool(helper.double, 1) as pool:\n        try:\n"
        "            await pool.map([0], function=mine)\n        except TypeError as error:\n            print(error)\n"
        "    async with runner.pool(mine, 1) as pool:\n"
        "        print(await pool.map([1]), await pool.map([1], function=helper.double))\n\nrun(main)\n"
    )
    done = execute(tmp_path / "main.py", tmp_path)
    assert done.stdout == (
        "mine is in the program itself, and the workers of this pool only import helper: make a pool of it, "
        "runner.pool(mine, ...), which may also call functions of the program's other files\n[-1] [2]\n"
    ), done.stderr


async def test_to_refuse_a_function_imports_no_installed_package() -> None:
    async with job() as runner, runner.pool(is_loaded, 1) as pool:
        for name in ("wsgiref.util:guess_scheme", "wsgiref:util", "sys:exit"):
            with pytest.raises(LookupError, match="is not one of the program's own files"):
                await pool.submit({}, function=name)
        assert not await pool.submit("wsgiref")


MAIN = """
import asyncio, os, sys
sys.path.append(os.path.join(os.path.dirname(__file__), "lib"))
import inside
import helper
from aioparcs import Runner

with open("loads", "a") as file:
    print("load", file=file)

async def main():
    async with Runner() as runner, runner.pool(helper.double, 2) as pool, runner.start(inside.Echo) as t:
        print(await pool.map([1, 2]), await pool.map([1], function=inside.name))
        await t.send("hello")
        print(await t.recv())

asyncio.run(main())
"""


def test_a_main_without_run_is_never_run_by_workers(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(MAIN)
    (tmp_path / "helper.py").write_text("def double(x):\n    return 2 * x\n")
    (tmp_path / "lib" / "inside").mkdir(parents=True)
    (tmp_path / "lib" / "inside" / "__init__.py").write_text("from .parts import *\n")
    (tmp_path / "lib" / "inside" / "parts.py").write_text(
        "from aioparcs import Service\n\ndef name(_):\n    return __name__\n\n"
        "class Echo(Service):\n    async def run(self):\n        await self.send([await self.recv(), __name__])\n"
    )
    done = execute(tmp_path / "main.py", tmp_path)
    assert (done.stdout, done.stderr) == ("[2, 4] ['inside.parts']\n['hello', 'inside.parts']\n", "")
    assert (tmp_path / "loads").read_text() == "load\n"


def test_an_imported_module_that_starts_a_job_starts_no_second_one(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(
        "import os\nfrom aioparcs import run\n\ndef double(x):\n    return 2 * x\n\n"
        "async def main(runner):\n    with open('runs', 'a') as file:\n        print('run', file=file)\n"
        "    async with runner.pool(double, 1) as pool:\n        print(await pool.map([1]))\n\nrun(main)\n"
    )
    (tmp_path / "start.py").write_text("import jobs\n")
    done = execute(tmp_path / "start.py", tmp_path)
    assert (done.stdout, done.stderr) == ("[2]\n", "")
    assert (tmp_path / "runs").read_text() == "run\n"


def test_a_module_that_is_a_program_of_its_own_needs_the_guard(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(
        "import asyncio\nfrom aioparcs import Runner\n\ndef double(x):\n    return 2 * x\n\n"
        "async def main():\n    async with Runner() as runner:\n        await runner.start(double)\n\n"
        "asyncio.run(main())\n"
    )
    (tmp_path / "start.py").write_text("import jobs\n")
    done = execute(tmp_path / "start.py", tmp_path)
    advice = (
        "a worker that looks for double runs the top level of jobs, which makes a Runner: it would start the same job "
        'without end; write that below if __name__ == "__main__":'
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert advice in done.stderr, done.stderr


def test_code_at_the_prompt_calls_functions_of_modules(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def double(x):\n    return 2 * x\n")
    text = (
        "import asyncio, helper\nfrom aioparcs import Runner\nasync def main():\n    async with Runner() as runner:\n"
        "        async with runner.pool(helper.double, 1) as pool: print(await pool.map([1]))\n\nasyncio.run(main())\n"
    )
    assert execute(text, tmp_path).stdout == "[2]\n"
    done = subprocess.run([sys.executable], input=text, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.stdout == "[2]\n", done.stderr


CELL = """
import helper
from aioparcs import Runner

def here(x):
    return x

async with Runner() as runner:
    try:
        runner.pool(here, 1)
    except TypeError as error:
        print(error)
    async with runner.pool(helper.double, 1) as pool:
        print(await pool.map([1]))
"""
# In a process of its own: what a kernel's client leaves to the garbage collector is no affair of these tests.
NOTEBOOK = """
import sys
import nbformat
from nbclient import NotebookClient
cell = nbformat.v4.new_code_cell(sys.argv[1])
NotebookClient(nbformat.v4.new_notebook(cells=[cell]), timeout=100, resources={"metadata": {"path": "."}}).execute()
print("".join(output["text"] for output in cell["outputs"] if output.get("name") == "stdout"), end="")
"""


def test_a_notebook_calls_functions_of_modules_and_none_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def double(x):\n    return 2 * x\n")
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, CELL],
        cwd=tmp_path,
        env=ENVIRONMENT | {"IPYTHONDIR": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    refusal, result = done.stdout.splitlines() or [done.stderr, ""]
    assert refusal.startswith("here is in a notebook, at the interactive prompt or in python -c, where a worker can't ")
    assert result == "[2]"


async def test_edited_modules_are_imported_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "edited_helper.py"
    file.write_text("def version():\n    return 1\n")
    import edited_helper  # type: ignore[import-not-found]  # it was just written

    try:
        async with job() as runner:
            async with runner.pool(edited_helper.version, 1) as pool:
                assert await pool.submit() == 1
                file.write_text("def version():\n    return 22\n")
                async with runner.pool(edited_helper.version, 1) as other:
                    assert await other.submit() == 22
                assert await pool.submit() == 1
    finally:
        del sys.modules["edited_helper"]


async def test_a_module_that_workers_cannot_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "hidden_helper.py"
    file.write_text("def version():\n    return 1\n")
    with monkeypatch.context() as patched:
        patched.syspath_prepend(tmp_path)
        import hidden_helper  # type: ignore[import-not-found]  # it was just written
    try:
        async with job() as runner:
            with pytest.raises(
                StartError, match=r"a worker finds no module hidden_helper: it must be on the sys\.path"
            ):
                await runner.start(hidden_helper.version)
    finally:
        del sys.modules["hidden_helper"]


async def test_a_module_that_fails_in_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "failing_helper.py").write_text(
        "import os\n\ndef version():\n    return 1\n\n"
        "if 'PARCS_RUNNER' in os.environ:\n    raise OSError('no such disk')\n"
    )
    import failing_helper  # type: ignore[import-not-found]  # it was just written

    try:
        async with job() as runner:
            with pytest.raises(StartError, match=r"with exit code 1 before it had imported failing_helper") as failed:
                await runner.start(failing_helper.version)
        assert failed.value.last_lines[-1] == "OSError: no such disk"
    finally:
        del sys.modules["failing_helper"]


async def test_a_module_that_starts_threads_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "threaded_helper.py").write_text(
        "import os, threading\n\ndef version():\n    return 1\n\n"
        "if 'PARCS_RUNNER' in os.environ:\n"
        "    threading.Thread(target=threading.Event().wait, daemon=True, name='ticker').start()\n"
    )
    import threaded_helper  # type: ignore[import-not-found]  # it was just written

    recorder = EventRecorder()
    try:
        async with job(recorder=recorder) as runner, runner.start(threaded_helper.version) as task:
            assert await task.call(threaded_helper.version) == 1
    finally:
        del sys.modules["threaded_helper"]
    (line,) = recorder.lines[None]
    begin, end = "threaded_helper started threads when it was imported (ticker)", "inside its functions, or in setup()"
    assert line.startswith(f"warning: {begin}")
    assert line.endswith(end)
