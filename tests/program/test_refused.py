"""Functions and classes that no worker could find: the sentence that says what to do comes at once."""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aioparcs import Runner, Service
from aioparcs.qualname import QualifiedName, qualified_name
from tests.support.jobs import MODULES, execute, job, module


def double(x: int) -> int:
    return 2 * x


async def later(x: int) -> int:
    return x


class Tools:
    def bound(self) -> None: ...

    @classmethod
    def made(cls) -> None: ...

    class Inner:
        @staticmethod
        def static() -> None: ...


class Worker(Service):
    async def run(self) -> None: ...


class Other(Runner): ...


def shadowed() -> int:
    return 1


first_shadowed = shadowed


def shadowed() -> int:  # type: ignore[no-redef]  # on purpose
    return 2


def nested() -> Callable[[], None]:
    def inner() -> None: ...

    return inner


IS_LOCAL = "is defined inside a function, where a worker can't find it: move it to the top level of its module"
HAS_NO_NAME = "has no name by which a worker could find it: write "


@pytest.mark.parametrize(
    "target, message",
    [
        (lambda: None, f"a lambda {HAS_NO_NAME}def NAME(...) at the top level of a module"),
        (nested(), f"inner {IS_LOCAL}; in a decorator, functools.wraps keeps a function's name"),
        (functools.partial(double, 1), f"{HAS_NO_NAME}a function at the top level of a module, def NAME(...), that"),
        (
            Tools().bound,
            "is not what a worker finds under its name, Tools.bound in tests.program.test_refused: pass the",
        ),
        (first_shadowed, "is not what a worker finds under its name, shadowed in tests.program.test_refused"),
        (Tools, "Tools is not a service: class Tools(Service)"),
        (Other, "Other is a runner, not a service: run(Other)"),
        (Worker(), "start() takes the class, not an instance: start(Worker)"),
        (
            3,
            "module=3: it must be a function or a Service class, a module's name, a text such as 'factor', or a path",
        ),
    ],
)
def test_what_cannot_be_started(target: Any, message: str) -> None:
    runner = Runner(modules=[MODULES])
    starts: list[Callable[[Any], Any]] = [
        runner.start,
        functools.partial(runner.start_many, count=2),
        functools.partial(runner.pool, size=2),
    ]
    for start in starts:
        with pytest.raises(TypeError, match=re.escape(message)):
            start(target)


def test_a_coroutine_in_place_of_its_function_is_closed() -> None:
    runner = Runner(modules=[MODULES])
    wrong: Any = later(1)
    with pytest.raises(TypeError, match=r"^later\(\) calls the function; pass the function itself: later$"):
        runner.pool(wrong, 1)
    assert wrong.cr_frame is None


def test_a_pool_of_a_service() -> None:
    with pytest.raises(TypeError, match=r"^Worker is a service, and a pool calls functions: runner\.start\(Worker\)$"):
        Runner(modules=[MODULES]).pool(Worker, 1)


def test_no_function_is_a_service_of_the_original() -> None:
    with pytest.raises(ValueError, match='wire="v1": Worker is no service of the original PARCS'):
        Runner(modules=[MODULES]).start(Worker, wire="v1")


@pytest.mark.slow
async def test_the_functions_of_calls_are_checked_too() -> None:
    async with job() as runner, runner.pool(double, 1) as pool, runner.start(double) as t:
        wrong: Any = lambda: 1  # noqa: E731  # on purpose
        for call in (pool.map([1], function=wrong), t.call(wrong)):
            with pytest.raises(TypeError, match="a lambda has no name by which a worker could find it"):
                await call
        with pytest.raises(TypeError, match="a lambda has no name"):
            pool.submit(1, function=wrong)
        not_called: Any = 3
        with pytest.raises(TypeError, match="function=3: it must be a function, or the name of one that the module"):
            await pool.map([1], function=not_called)


IN_MAIN = """
import asyncio
from aioparcs import Runner

def double(x):
    return 2 * x

async def main():
    async with Runner() as runner:
        for start in (runner.start, lambda target: runner.pool(target, 2)):
            try:
                start(double)
            except TypeError as error:
                print(error)

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.one_loop
def test_functions_in_a_main_that_workers_cannot_run(tmp_path: Path) -> None:
    sentence = "move it into a module, a .py file{}, and import it from there\n"
    (tmp_path / "main.py").write_text(IN_MAIN)
    done = execute(tmp_path / "main.py")
    first = "double is in the program itself, and workers import modules only, unless the program ends in run(main): "
    assert done.stdout == 2 * (first + sentence.format(" beside the program")), done.stderr
    done = execute(IN_MAIN)
    first = "double is in a notebook, at the interactive prompt or in python -c, where a worker can't find it: "
    assert done.stdout == 2 * (first + sentence.format("")), done.stderr


@pytest.mark.slow
async def test_a_service_with_a_folder_of_its_own_starts_modules_only(tmp_path: Path) -> None:
    module(
        tmp_path,
        "branch",
        "from aioparcs import Service, serve\n\nclass Leaf(Service):\n    async def run(self): pass\n\n"
        "class Branch(Service):\n    async def run(self):\n        await self.start(Leaf)\n\nserve(Branch)\n",
    )
    async with job(tmp_path) as runner:
        t = await runner.start("branch")
        with pytest.raises(
            TypeError,
            match=r"Leaf is in a module with a folder of its own, and its runner can't find it there: give it a "
            r"main.py of its own with serve\(Leaf\), and start that by its folder's name",
        ):
            await t.recv()


@pytest.mark.parametrize("target", [double, later, Worker, Tools.made, Tools.Inner.static, len, re.compile, Path.cwd])
def test_what_is_at_the_top_level_is_found_again(target: Any) -> None:
    name = qualified_name(target)
    assert name.load() == target
    assert QualifiedName.parse(str(name)) == name


@pytest.mark.parametrize("text", ["", ":", "main", "main:", ":f", "a:b:c", "a.b:c d", "os:system()", "a/b:c"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not MODULE:NAME"):
        QualifiedName.parse(text)
