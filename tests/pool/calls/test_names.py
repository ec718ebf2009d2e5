"""Functions of pools that are not there: one error, when the pool is entered or when the call is made."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aioparcs import RemoteError, Runner
from aioparcs.pool import Pool
from aioparcs.qualname import missing_function
from tests.executor import work
from tests.support import reference_service
from tests.support.jobs import MODULES, job, module

METHODS: list[Callable[[Pool, Any], object]] = [
    lambda pool, items: pool.imap(items, function="sqare"),
    lambda pool, items: pool.istarmap(items, function="sqare", return_exceptions=True),
    lambda pool, items: pool.imap_unordered(items, function="sqare"),
    lambda pool, items: pool.istarmap_unordered(items, function="sqare", keyed=True),
    lambda pool, _: pool.submit(1, function="sqare"),
    lambda pool, _: pool.submit_within(5.0, 1, function="sqare"),
]


class Items:
    """Items that may not be taken."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("an item was taken")


async def test_a_call_of_a_function_that_is_not_served_fails_at_once(runner: Runner) -> None:
    async with runner.pool("crunch", 2) as pool:
        for method in METHODS:
            with pytest.raises(LookupError, match="no function 'sqare' is served by crunch; did you mean 'square'"):
                method(pool, Items())
            assert await pool.map([3]) == [9]


async def test_a_map_of_a_function_that_is_not_served_takes_no_item(runner: Runner) -> None:
    async with runner.pool("crunch", 2) as pool:
        methods: list[Any] = [pool.map, pool.starmap]
        for method in methods:
            with pytest.raises(LookupError, match="'zzz' is served by crunch; there are: add, big, ") as caught:
                await method(Items(), function="zzz", return_exceptions=True)
            assert not isinstance(caught.value, RemoteError)


async def test_entering_a_pool_suggests_the_closest_function(runner: Runner) -> None:
    with pytest.raises(LookupError, match=r"no function 'squares' is served here; did you mean 'square'\? There are: "):
        async with runner.pool("crunch", 2, function="squares"):
            raise AssertionError("entered")


async def test_names_of_a_programs_own_functions_are_those_of_their_module(runner: Runner) -> None:
    async with runner.pool(work.double, 2) as pool:
        assert await pool.map([1, 2], function="Numbers.triple") == [3, 6]
        assert await pool.map([1, 2], function=work.Numbers.triple) == [3, 6]
        assert await pool.submit(4, function="capture") == [[4], {}]
        with pytest.raises(LookupError, match="no function 'captures' is served by double; did you mean 'capture'"):
            pool.imap(Items(), function="captures")
        with pytest.raises(LookupError, match=r"did you mean 'Numbers\.triple'"):
            await pool.map(Items(), function="Numbers.triples")
        for name in ("Any", "os", "Numbers", "os.getpid"):  # what it imports, and no function
            with pytest.raises(LookupError, match=f"no function '{name}' is served by double"):
                await pool.map(Items(), function=name)


@pytest.mark.slow
async def test_a_function_of_edited_code_is_there_once_a_worker_has_it(tmp_path: Path) -> None:
    code = """
from aioparcs import serve

def one(): return 1
def two(): return 2

serve(one, two)
"""
    async with job(module(tmp_path, "numbers", code)) as runner, runner.pool("numbers", 1) as pool:
        with pytest.raises(LookupError, match="no function 'three' is served by numbers; there are: one, two"):
            pool.submit(function="three")
        module(tmp_path, "numbers", code.replace("serve(", "def three(): return 3\n\nserve(three, "))
        await pool.resize(2)
        assert await pool.submit(function="one") == 1
        assert pool.submit(function="three").cancel()  # it is there now, in the new worker


BOSS = """
from aioparcs import Service, serve


class Boss(Service):
    async def run(self) -> None:
        async with self.pool("crunch", 1) as pool:
            try:
                await pool.map([1], function="sqare")
            except LookupError as error:
                await self.send(str(error))


serve(Boss)
"""


@pytest.mark.slow
async def test_a_pool_of_a_service_names_the_functions_too(tmp_path: Path) -> None:
    async with job(module(tmp_path, "boss", BOSS), MODULES) as runner, runner.start("boss") as task:
        assert (await task.recv()).startswith("no function 'sqare' is served by crunch; did you mean 'square'?")


async def test_a_worker_that_does_not_know_the_question_gets_all_calls(tmp_path: Path) -> None:
    code = Path(reference_service.__file__).read_text()  # noqa: ASYNC240  # quick
    async with job(module(tmp_path, "reference", code)) as runner, runner.pool("reference", 1, function="add") as pool:
        assert await pool.starmap([(1, 2)]) == [3]
        with pytest.raises(LookupError, match="no function subtract"):
            await pool.starmap([(1, 2)], function="subtract")


def test_many_names_are_cut() -> None:
    error = missing_function("nope", "here", [f"f{i}" for i in range(100)])
    assert str(error).startswith("no function 'nope' is served here; there are: f0, f1, ")
    assert str(error).endswith(", f29 and 70 more")
    assert str(missing_function([], "here", ["f"])) == "no function [] is served here; there are: f"
