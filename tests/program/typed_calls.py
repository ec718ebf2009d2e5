"""The types that checkers find for calls: mypy reads this file in a test and in `make check`, and nothing runs it."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any, TypedDict, assert_type

from aioparcs import CallTimeout, EncodeError, Pool, RemoteError, Retry, Runner, Service, Stream, Task, WorkerLost
from aioparcs.pool import ResultIterator


def divisors(n: int, a: int, b: int) -> list[int]:
    return [i for i in range(a, b) if n % i == 0]


async def fetch(url: str, *, tries: int = 3) -> bytes:
    return url.encode() * tries


def lines(path: str) -> Iterator[str]:
    yield path


async def pages(site: str, *, most: int = 3) -> AsyncGenerator[bytes, None]:
    yield site.encode() * most


class Counter(Service):
    async def run(self) -> None: ...


async def plain_functions(runner: Runner) -> None:
    async with runner.pool(divisors, 8) as pool:
        assert_type(await pool.map([1]), list[list[int]])
        assert_type(await pool.starmap([(6, 1, 7)]), list[list[int]])
        assert_type(pool.imap([1]), ResultIterator[list[int]])
        assert_type([one async for one in pool.istarmap_unordered([(6, 1, 7)])], list[list[int]])
        assert_type(pool.submit(6, 1, 7), asyncio.Future[list[int]])
        assert_type(await pool.submit(6, a=1, b=7), list[int])
        pool.submit(6, 1, "7")  # type: ignore[call-overload]  # it takes numbers
        pool.submit(6, 1)  # type: ignore[call-overload]  # it takes three


async def coroutine_functions(runner: Runner) -> None:
    async with runner.pool(fetch, 8, retries=2, cpus=1) as pool:
        assert_type(await pool.map(["a"]), list[bytes])
        assert_type(await pool.submit("a", tries=1), bytes)
        assert_type([one async for one in pool.imap_unordered(["a"])], list[bytes])


async def generator_functions(runner: Runner) -> None:
    async with runner.pool(lines, 8) as pool:
        assert_type(pool.stream("a"), Stream[str])
        assert_type([line async for line in pool.stream("a")], list[str])
        assert_type(pool.stream_within(1.0, "a"), Stream[str])
        assert_type(pool.stream("a", most=1, function=pages), Stream[bytes])
        assert_type(pool.stream_within(1.0, 6, 1, 7, function=divisors), Stream[int])
        assert_type(pool.stream("a", function="pages"), Stream[Any])
        pool.stream(1)  # type: ignore[call-overload]  # it takes a text
        assert_type(pool.stream_map(["a"]), Stream[str])
        assert_type(pool.stream_starmap([("a",)], function=pages, timeout=1.0), Stream[bytes])
        assert_type(pool.stream_map(["a"], function="pages"), Stream[Any])
        assert_type(pool.stream_map(["a"], return_exceptions=True), Stream[Any])
    async with runner.pool(pages, 8) as others:
        assert_type(others.stream("a", most=1), Stream[bytes])
        assert_type(others.stream("a", function=lines), Stream[str])
        others.stream("a", least=1)  # type: ignore[call-overload]  # it has no such argument
    async with runner.pool(fetch, 8) as plain:
        assert_type(plain.stream("a"), Stream[int])  # bytes are iterable


async def limits(runner: Runner) -> None:
    async with runner.pool(divisors, 8, timeout=1.0, retries=Retry(2), max_calls=9, max_memory="1g") as pool:
        assert_type(await pool.starmap([(6, 1, 7)], timeout=1.0), list[list[int]])
        assert_type(pool.imap(["a"], function=fetch, timeout=1), ResultIterator[bytes])
        assert_type(await pool.submit_within(1.0, 6, 1, 7), list[int])
        assert_type(await pool.submit_within(1.0, "a", function=fetch), bytes)
        pool.submit_within(1.0, 6, 1)  # type: ignore[call-overload]  # it takes three


async def journals(runner: Runner) -> None:
    async with runner.pool(divisors, 8) as pool:
        assert_type(await pool.starmap([(6, 1, 7)], journal="run.journal"), list[list[int]])
        assert_type(pool.imap(["a"], function=fetch, journal=Path("run.journal")), ResultIterator[bytes])
        assert_type(await pool.map([1], journal="run.journal", return_exceptions=True), list[Any])
        pool.imap([1], journal=1)  # type: ignore[call-overload]  # it takes the name of a file


async def other_functions(runner: Runner) -> None:
    async with runner.pool(divisors, 8) as pool:
        assert_type(await pool.map(["a"], function=fetch), list[bytes])
        assert_type(await pool.starmap([(6, 1, 7)], function=divisors), list[list[int]])
        assert_type(pool.imap(["a"], function=fetch, total=1), ResultIterator[bytes])
        assert_type(await pool.map(["a"], function="fetch"), list[Any])
        assert_type(await pool.submit("a", function=fetch), bytes)
        assert_type(await pool.submit("a", function="fetch"), Any)
        assert_type(await pool.map([1], return_exceptions=True), list[Any])


async def keyed(runner: Runner) -> None:
    async with runner.pool(divisors, 8) as pool:
        assert_type(pool.imap_unordered([1], keyed=True), ResultIterator[tuple[int, list[int]]])
        assert_type(pool.istarmap_unordered([(6, 1, 7)], keyed=True, total=1), ResultIterator[tuple[int, list[int]]])
        assert_type(pool.imap_unordered(["a"], keyed=True, function=fetch), ResultIterator[tuple[int, bytes]])
        assert_type(pool.imap_unordered([1], keyed=True, function="fetch"), ResultIterator[tuple[int, Any]])
        assert_type(pool.imap_unordered([1], keyed=True, return_exceptions=True), ResultIterator[tuple[int, Any]])
        pool.imap([1], keyed=True)  # type: ignore[call-overload]  # those come in the order of their items


class Named(TypedDict):
    n: int
    a: int
    b: int


async def arguments(runner: Runner) -> None:
    async with runner.pool(divisors, 8) as pool:
        assert_type(await pool.starmap([{"n": 6, "a": 1, "b": 7}]), list[list[int]])
        assert_type(await pool.starmap([Named(n=6, a=1, b=7)]), list[list[int]])
        assert_type(await pool.starmap([[6, 1, 7]]), list[list[int]])
        await pool.starmap([6])  # type: ignore[list-item]  # it is no arguments


def items_of_errors(error: RemoteError | WorkerLost | CallTimeout | EncodeError) -> None:
    assert_type(error.index, int | None)
    assert_type(error.item, Any)


async def modules(runner: Runner) -> None:
    async with runner.pool("divisors", 8) as pool:
        assert_type(pool, Pool[..., Any])
        assert_type(await pool.map([1]), list[Any])
        assert_type(await pool.submit(1, "two", three=3), Any)
        assert_type(pool.imap([1]), ResultIterator[Any])
        assert_type(pool.stream(1, "two", three=3), Stream[Any])
        assert_type(pool.stream_map([1]), Stream[Any])


def any_pool(pool: Pool) -> Pool[..., Any]:
    return pool


async def tasks(runner: Runner) -> None:
    async with runner.start(Counter) as t, runner.start_many(Counter, 2):
        assert_type(t, Task)
        assert_type(await t.call(divisors, 6, 1, 7), list[int])
        assert_type(await t.call(fetch, "a", tries=1), bytes)
        assert_type(await t.call("divisors", 6, 1, 7), Any)
        assert_type(await t.call_within(1.0, divisors, 6, 1, 7), list[int])
        assert_type(await t.call_within(1.0, "divisors", 6, 1, 7), Any)
        assert_type(t.stream(lines, "a"), Stream[str])
        assert_type(t.stream(pages, "a", most=1), Stream[bytes])
        assert_type(t.stream("pages", "a"), Stream[Any])
        assert_type(t.stream_within(1.0, pages, "a"), Stream[bytes])
        t.stream(lines, 1)  # type: ignore[call-overload]  # it takes a text
        await t.call(divisors, 6)  # type: ignore[call-overload]  # it takes three
