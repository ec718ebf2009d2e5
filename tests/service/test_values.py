"""Values and exceptions of every kind, to a real worker and back."""

import errno
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from aioparcs import RemoteError, Runner
from tests.support.channels import pair
from tests.support.jobs import job
from tests.support.natives import equal, natives
from tests.support.registered import DiskError, Final, HttpError, Quota
from tests.support.strategies import property_test

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]


@pytest.fixture
async def runner() -> AsyncIterator[Runner]:
    async with job() as runner:
        yield runner


def _some(values: Any, count: int) -> list[Any]:
    """Return examples of a strategy: one job is for all of them."""
    taken: list[Any] = []

    @property_test
    @given(values)
    def take(value: Any) -> None:
        taken.append(value)

    take()
    return taken[:count]


async def test_values_come_back_through_a_channel() -> None:
    values = _some(natives, 100)
    async with pair("tcp") as (here, there):
        for value in values:
            await here.send(value)
            assert equal(await there.recv(), value)


async def test_values_come_back_from_calls_of_a_pool(runner: Runner) -> None:
    values = _some(natives, 100)
    async with runner.pool("values", 2, function="same") as pool:
        assert equal(await pool.map(values), [(value,) for value in values])
        named = await pool.submit(value=values[-1])
        assert equal(named, {"value": values[-1]})


async def test_a_function_gets_what_was_sent(runner: Runner) -> None:
    async with runner.start("values") as t:
        assert [await t.call("kind", value) for value in ((), {1}, Path(), 1j)] == [
            "tuple",
            "set",
            "PosixPath",
            "complex",
        ]
        assert await t.call("same", 1, (2, 3)) == (1, (2, 3))


async def test_exceptions_are_caught_as_their_own_classes(runner: Runner) -> None:
    async with runner.start("values") as t:
        with pytest.raises(HttpError) as caught:
            await t.call("fail", "HttpError", [404, "no page"])
        assert isinstance(caught.value, RemoteError)
        assert (caught.value.status, caught.value.message, caught.value.args) == (404, "no page", ("status 404",))
        assert str(caught.value).endswith(": status 404")
        assert "main.py" in caught.value.__notes__[-1]
        with pytest.raises(FileNotFoundError) as missing:
            await t.call("fail_open", "/no/such/file")
        error = missing.value
        assert (error.errno, error.strerror, error.filename) == (
            errno.ENOENT,
            "No such file or directory",
            "/no/such/file",
        )
        with pytest.raises(DiskError) as full:
            await t.call("fail", "DiskError", [errno.ENOSPC, "full", "/data"])
        assert (full.value.errno, full.value.filename) == (errno.ENOSPC, "/data")
        with pytest.raises(KeyError) as key:
            await t.call("fail", "KeyError", [("a", 1)])
        assert key.value.args == (("a", 1),)
        with pytest.raises(Quota) as quota:
            await t.call("fail_quota")
        assert quota.value.left == 3


async def test_an_exception_of_a_final_class_is_the_cause(runner: Runner) -> None:
    async with runner.start("values") as t:
        with pytest.raises(RemoteError) as caught:
            await t.call("fail", "Final", ["x"])
        assert type(caught.value.cause) is Final
        assert caught.value.__cause__ is caught.value.cause


async def test_groups_are_groups(runner: Runner) -> None:
    seen: list[Any] = []
    async with runner.pool("values", 1, function="fail_many") as pool:
        try:
            await pool.submit()
        except* HttpError as group:
            seen += [error.status for error in group.exceptions if isinstance(error, HttpError)]
        except* ValueError as group:
            seen += [str(error) for error in group.exceptions]
        except* OSError as group:
            seen.append(type(group.exceptions[0]))
    assert seen == [404, "ValueError: bad", ExceptionGroup]


async def test_notes_and_the_traceback_are_printed_once_below_the_exception(runner: Runner) -> None:
    async with runner.start("values") as t:
        with pytest.raises(ValueError, match="bad") as caught:
            await t.call("fail", "ValueError", ["bad"], "a hint")
    printed = "".join(traceback.format_exception(caught.value))
    assert caught.value.__notes__[0] == "a hint"
    assert printed.count("\na hint\n") == 1
    assert printed.index("RemoteError: ValueError") < printed.index("\na hint\n") < printed.rindex("Traceback")
