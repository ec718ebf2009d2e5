"""Function objects: where workers find them, and what libraries do with an executor."""

import asyncio
import math
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from aioparcs import Executor
from tests.executor.conftest import CRUNCH
from tests.executor.work import Numbers, capture, double
from tests.support.jobs import execute

pytestmark = pytest.mark.slow


@pytest.fixture
def calling() -> Iterator[Executor]:
    with Executor(2) as executor:
        yield executor


def test_functions_of_a_module_are_called(calling: Executor) -> None:
    assert calling.submit(double, 4).result() == 8
    assert list(calling.map(double, range(5))) == [0, 2, 4, 6, 8]
    assert calling.submit(capture, 1, self=2, fn=3, function=4).result() == [[1], {"self": 2, "fn": 3, "function": 4}]
    assert calling.submit(Numbers.triple, 2).result() == 6


def test_functions_of_the_programs_own_files_share_the_workers(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("import os\ndef pid(): return os.getpid()\n")
    (tmp_path / "two.py").write_text("import os\ndef pid(): return os.getpid()\n")
    text = "import one, two\nfrom aioparcs import Executor\nwith Executor(1) as executor:\n"
    text += "    print(executor.submit(one.pid).result() == executor.submit(two.pid).result())\n"
    (tmp_path / "main.py").write_text(text)
    done = execute(tmp_path / "main.py")
    assert done.stdout == "True\n", done.stderr


def test_functions_of_python_have_workers_of_their_own(calling: Executor) -> None:
    assert calling.submit(math.factorial, 5).result() == 120
    assert calling.submit(pow, 2, 8).result() == 256
    assert calling.submit(double, 2).result() == 4


def test_functions_that_workers_cannot_find_are_refused_at_once(calling: Executor) -> None:
    def local() -> None: ...

    for function, reason in (
        (local, "defined inside a function"),
        (lambda: 1, "a lambda has no name"),
        (partial(double, 1), "has no name by which a worker could find it"),
        (Numbers().method, "is not what a worker finds"),
        ("double", r"to call by names, give the module"),
        (int, "it is a class"),
        (3, "3"),
    ):
        submit: Any = calling.submit
        with pytest.raises(TypeError, match=reason):
            submit(function)
    with Executor(1, module=CRUNCH) as named, pytest.raises(TypeError, match="by their names"):
        named.submit(double, 1)


def test_a_function_of_the_program_itself_is_refused() -> None:
    done = execute("from aioparcs import Executor\ndef f(): pass\nExecutor(1).submit(f)")
    assert "move it into a module" in done.stderr.replace("\n", " "), done.stderr


def test_a_program_needs_no_guard(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def half(x): return x / 2\n")
    text = "print('once')\nimport helper\nfrom aioparcs import Executor\n"
    text += "with Executor(2) as executor: print(list(executor.map(helper.half, range(3))))\n"
    (tmp_path / "main.py").write_text(text)
    done = execute(tmp_path / "main.py")
    assert (done.stdout, done.stderr) == ("once\n[0.0, 0.5, 1.0]\n", "")


def test_a_module_that_submits_when_it_is_imported_breaks_the_executor_and_not_more(tmp_path: Path) -> None:
    text = "from aioparcs import Executor\nexecutor = Executor(1)\ndef f(): return 1\nfuture = executor.submit(f)\n"
    (tmp_path / "greedy.py").write_text(text)
    main = "import greedy\nprint(type(greedy.future.exception()).__name__, greedy.future.exception())"
    done = execute(main, tmp_path)
    assert done.stdout.startswith("BrokenPool"), done.stderr


def test_an_executor_at_the_top_of_the_functions_module_is_fine(tmp_path: Path) -> None:
    text = "from aioparcs import Executor\nexecutor = Executor(1)\ndef f(): return 1\n"
    (tmp_path / "modest.py").write_text(text)
    done = execute(
        "import modest\nwith modest.executor as executor: print(executor.submit(modest.f).result())", tmp_path
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


# Users of executors


async def test_a_coroutine_runs_functions_in_an_executor() -> None:
    executor = Executor(2)
    try:
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(executor, double, 4) == 8
        calls = [asyncio.wrap_future(executor.submit(double, n)) for n in range(5)]
        assert await asyncio.gather(*calls) == [0, 2, 4, 6, 8]
    finally:
        await asyncio.to_thread(executor.shutdown)


def test_the_threads_of_a_web_server_share_an_executor(calling: Executor) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = calling.submit(double, int(self.path[1:])).result()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"{answer}".encode())

        def log_message(self, *_: Any) -> None: ...

    answers: dict[int, str] = {}

    def ask(number: int, port: int) -> None:
        with urlopen(f"http://127.0.0.1:{port}/{number}") as answer:
            answers[number] = answer.read().decode()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        clients = [threading.Thread(target=ask, args=(n, server.server_port)) for n in range(12)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        server.shutdown()
        serving.join()
    assert answers == {n: f"{2 * n}" for n in range(12)}


def test_a_program_that_ends_in_run_may_call_its_own_functions(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def half(x): return x / 2\n")
    text = "import asyncio, helper\nfrom aioparcs import Executor, run\ndef double(x): return 2 * x\n"
    text += "def work():\n    with Executor(1) as executor:\n"
    text += "        return executor.submit(helper.half, 3).result(), executor.submit(double, 3).result()\n"
    text += "async def main(runner): print(await asyncio.to_thread(work))\nrun(main)\n"
    (tmp_path / "main.py").write_text(text)
    done = execute(tmp_path / "main.py")
    assert done.stdout == "(1.5, 6)\n", done.stderr
