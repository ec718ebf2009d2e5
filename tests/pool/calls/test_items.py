"""The items of a pool's calls: arguments by name, results with their index, and errors that hold their item."""

import copy
import pickle
import re
import signal
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aioparcs import CallTimeout, EncodeError, ParcsError, RemoteError, Runner, WorkerLost
from aioparcs.channel.error_codec import decode_error, encode_error
from aioparcs.errors import ExceptionParts, set_item


async def arriving(items: list[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


# Results


@pytest.mark.slow
async def test_keyed_results_have_the_index_of_their_item(runner: Runner) -> None:
    async with runner.pool("crunch", 2, function="add") as pool:
        results = [pair async for pair in pool.imap_unordered(arriving([*range(300)]), keyed=True, function="square")]
        assert sorted(results) == [(i, i * i) for i in range(300)]
        pairs = [(i, 2 * i) for i in range(100)]
        assert dict([pair async for pair in pool.istarmap_unordered(pairs, keyed=True)]) == {i: 3 * i for i, _ in pairs}


async def test_failures_among_keyed_results_have_their_index_too(runner: Runner) -> None:
    async with runner.pool("crunch", 2, function="refuse_odd") as pool:
        results = pool.imap_unordered(range(10, 16), keyed=True, return_exceptions=True)
        found = dict([pair async for pair in results])
        assert {index: result for index, result in found.items() if index % 2 == 0} == {0: 10, 2: 12, 4: 14}
        assert [(found[index].index, found[index].item) for index in (1, 3, 5)] == [(1, 11), (3, 13), (5, 15)]

        results = pool.imap_unordered([0, 1, 2], keyed=True)
        good: list[tuple[int, int]] = []
        bad: list[int | None] = []
        while len(good) + len(bad) < 3:
            try:
                good.append(await anext(results))
            except RemoteError as error:
                bad.append(error.index)
        assert (sorted(good), bad) == ([(0, 0), (2, 2)], [1])


# Errors


@pytest.mark.parametrize("timeout", [None, 60.0], ids=["unlimited", "limited"])
@pytest.mark.slow
async def test_each_error_of_a_call_holds_its_index_and_its_item(runner: Runner, timeout: float | None) -> None:
    odd, poison, unsendable = 1, (7, 7), threading.Lock()
    async with runner.pool("crunch", 2) as pool:
        results = await pool.map([0, odd], function="refuse_odd", return_exceptions=True, timeout=timeout)
        assert (results[1].index, results[1].item) == (1, odd)
        assert results[1].__notes__[-1] == "item 1: (1)"

        pairs = [(i, 8) for i in range(6)]
        results = await pool.starmap([*pairs, poison], function="die_at", return_exceptions=True, timeout=timeout)
        lost = results[6]
        assert isinstance(lost, WorkerLost)
        assert (lost.index, lost.call, lost.signal) == (6, "item 6: (7, 7)", signal.SIGKILL)
        assert lost.item is poison

        results = await pool.map([2, unsendable], return_exceptions=True, timeout=timeout)
        assert isinstance(results[1], EncodeError)
        assert results[1].index == 1
        assert results[1].item is unsendable

        with pytest.raises(ValueError, match="1 is odd") as caught:
            await pool.submit(1, function="refuse_odd")
        assert isinstance(caught.value, ParcsError)
        assert (caught.value.index, caught.value.item) == (None, None)


async def test_a_call_that_took_too_long_holds_its_index_and_its_item(runner: Runner) -> None:
    async with runner.pool("limited", 1, function="sleep", timeout=0.3) as pool:
        with pytest.raises(CallTimeout) as caught:
            await pool.map([0.0, 60.0])
        assert (caught.value.index, caught.value.item, caught.value.call) == (1, 60.0, "item 1: (60.0)")


async def test_a_repeated_call_that_fails_holds_its_item(runner: Runner) -> None:
    async with runner.pool("crunch", 1, function="die_at", retries=1) as pool:
        poison = [3, 3]
        with pytest.raises(WorkerLost) as caught:
            await pool.starmap([[0, 3], poison])
        assert caught.value.index == 1
        assert caught.value.item is poison
        note = "try 1: worker crunch:0 was killed by SIGKILL, at item 1: (3, 3); its last lines:"
        assert caught.value.__notes__ == [note]


class Located(Exception):
    """An exception with attributes of the same names."""

    item = "of the class"

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


def test_attributes_of_the_programs_own_exception_stay() -> None:
    error: Any = RemoteError.make("Located", "5", original=(Located, ExceptionParts.of(Located(5))))
    set_item(error, 2, "an item")
    for one in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert isinstance(one, Located)
        assert (one.index, one.item) == (5, "of the class")


@pytest.mark.parametrize(
    "make",
    [
        lambda: RemoteError.make("ValueError", "no"),
        lambda: RemoteError.make("ExceptionGroup", "two", members=[RemoteError.make("KeyError", "'n'")]),
        lambda: WorkerLost("crunch:0", "is lost", call="item 3: (lock)"),
        lambda: EncodeError("$", "no form"),
        lambda: CallTimeout(1.0),
    ],
    ids=["remote", "group", "lost", "encode", "timeout"],
)
def test_a_copied_error_keeps_its_item_and_a_pickled_one_its_index(make: Any) -> None:
    error, item = make(), threading.Lock()
    assert (error.index, error.item) == (None, None)
    set_item(error, 3, item)
    for other in (copy.copy(error), copy.deepcopy(error)):
        assert (type(other), str(other), other.index) == (type(error), str(error), 3)
        assert other.item is item
    pickled = pickle.loads(pickle.dumps(error))
    assert (str(pickled), pickled.index, pickled.item) == (str(error), 3, None)


def test_an_item_is_no_part_of_an_error_that_is_sent() -> None:
    for error in (RemoteError.make("ValueError", "no"), WorkerLost("crunch:0", "is lost", call="item 3: (1)")):
        set_item(error, 3, b"x" * 1000)
        values = encode_error(error)
        assert b"xxx" not in values.get("state", b"")
        received = decode_error(values)
        assert (received.index, received.item) == (None, None)
        assert not hasattr(received, "__notes__") or not any("can't be sent" in note for note in received.__notes__)


# Arguments


async def test_an_item_of_starmap_may_be_keyword_arguments(runner: Runner) -> None:
    async with runner.pool("crunch", 2, function="add") as pool:
        items: list[Any] = [{"a": 1, "b": 2}, (3, 4), {"b": 6, "a": 5}, [7, 8]]
        assert await pool.starmap(items) == [3, 7, 11, 15]
        assert await pool.starmap(arriving(items), timeout=60) == [3, 7, 11, 15]
        assert [result async for result in pool.istarmap(iter(items))] == [3, 7, 11, 15]
        assert dict([pair async for pair in pool.istarmap_unordered(items, keyed=True)]) == {0: 3, 1: 7, 2: 11, 3: 15}
        assert await pool.starmap([{}, {"_": 1}], function="pid") != []


async def test_keyword_arguments_that_a_function_does_not_take_are_its_error(runner: Runner) -> None:
    async with runner.pool("crunch", 1, function="add") as pool:
        wrong = {"a": 1, "c": 2}
        with pytest.raises(TypeError, match="unexpected keyword argument 'c'") as caught:
            await pool.starmap([{"a": 1, "b": 2}, wrong])
        assert isinstance(caught.value, RemoteError)
        assert caught.value.index == 1
        assert caught.value.item is wrong
        assert caught.value.__notes__[-1] == "item 1: (a=1, c=2)"


async def test_a_tuple_that_lacks_arguments_is_shown_the_way_to_starmap(runner: Runner) -> None:
    async with runner.pool("crunch", 1, function="add") as pool:
        for item, is_shown in (((1, 2), True), ([1, 2], False), (1, False)):
            with pytest.raises(TypeError, match="missing 1 required positional argument") as caught:
                await pool.map([item])
            assert any("starmap" in note for note in caught.value.__notes__) is is_shown


async def test_an_item_that_is_no_arguments_fails_alone(runner: Runner) -> None:
    items: list[Any] = [5, "ab", None, {1: 2}, {3, 4}]
    async with runner.pool("crunch", 1, function="add") as pool:
        for item in items:
            results = await pool.starmap([(1, 2), item, (3, 4)], return_exceptions=True)
            assert (results[0], results[2]) == (3, 7)
            assert isinstance(results[1], EncodeError)
            assert isinstance(results[1], TypeError)
            assert (results[1].index, results[1].item) == (1, item)
            expected = f"item 1: must be a tuple of arguments, or a dict of keyword arguments, not {item!r}"
            assert re.fullmatch(re.escape(expected), str(results[1]))


@pytest.mark.slow
async def test_a_journal_keeps_the_results_of_keyword_arguments_and_their_index(runner: Runner, tmp_path: Path) -> None:
    folder, journal = tmp_path / "marks", tmp_path / "run.journal"
    folder.mkdir()
    items: list[Any] = [{"folder": str(folder), "name": "a"}, (str(folder), "b"), {"name": "c", "folder": str(folder)}]
    for _ in range(2):
        async with runner.pool("crunch", 1, function="note") as pool:
            results = pool.istarmap_unordered(items, keyed=True, journal=journal)
            assert sorted([pair async for pair in results]) == [(0, "a"), (1, "b"), (2, "c")]
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys("abc", "x")
    async with runner.pool("crunch", 1, function="refuse_odd") as pool:
        with pytest.raises(ValueError, match="3 is odd") as caught:
            await pool.map([2, 3], journal=journal)
        assert isinstance(caught.value, RemoteError)
        assert (caught.value.index, caught.value.item) == (1, 3)
