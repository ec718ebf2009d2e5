"""Values and exceptions whose own code raises: errors of their calls, and no ends of workers."""

from collections.abc import AsyncIterator
from typing import Any

import polars
import pytest

from aioparcs import EncodeError, Executor, Pool, RemoteError
from tests.support.jobs import MODULES, job

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]


class Key:
    def __repr__(self) -> str:
        raise RuntimeError("no representation")


@pytest.fixture
async def pool() -> AsyncIterator[Pool[Any, Any]]:
    async with job() as runner, runner.pool("raising", 1, function="same") as pool:
        yield pool


@pytest.mark.parametrize("function", ["value", "value_later"])
async def test_a_result_that_raises_is_an_error_of_its_call(pool: Pool[Any, Any], function: str) -> None:
    worker = await pool.submit(function="pid")
    for name, reason in (("proxy", r"ReferenceError"), ("key", "Key cannot be sent"), ("meta", r"RuntimeError|Meta")):
        with pytest.raises(RemoteError, match=reason):
            await pool.submit(name, function=function)
        assert await pool.submit(function="pid") == worker


@pytest.mark.parametrize("function", ["fail", "fail_later"])
async def test_an_exception_that_raises_is_an_error_of_its_call(pool: Pool[Any, Any], function: str) -> None:
    worker = await pool.submit(function="pid")
    for name in ("SyntaxError", "RaisingMembers", "RaisingNotes", "RaisingAttributes"):
        with pytest.raises(RemoteError) as caught:
            await pool.submit(name, function=function)
        assert caught.value.type.endswith(name)
        assert await pool.submit(function="pid") == worker


def test_an_argument_that_raises_is_an_error_of_its_call_in_an_executor() -> None:
    with Executor(1, module=MODULES / "raising") as executor:
        values = [1, {Key(): 1}, polars.Series("a\0", [1]), 2]
        one, key, panic, two = [executor.submit("same", value) for value in values]
        assert (one.result(), two.result()) == (1, 2)
        for future, reason in ((key, "Key cannot be sent"), (panic, "a polars.Series that cannot be sent")):
            with pytest.raises(EncodeError, match=reason):
                future.result()
