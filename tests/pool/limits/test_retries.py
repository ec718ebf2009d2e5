"""Calls that are made again after an error: how often, after which ones, when, and what the last error says."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aioparcs import CallTimeout, RemoteError, Retry, Runner, WorkerLost
from aioparcs.events import PoolState
from tests.support.jobs import EventRecorder, job

pytestmark = [pytest.mark.one_loop]

LATER = 3600.0
# What the workers' own main.py has, and a program that is the same file: one that is not registered.
OF_PROGRAM = type("Refused", (Exception,), {"__module__": "__main__"})
OF_OTHER = type("Refused", (Exception,), {"__module__": "other"})


def _calls(folder: Path) -> int:
    """Return how often `fail_first` was called."""
    return len(list(folder.iterdir()))


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, retry",
    [
        ("OSError", Retry(2, on=(OSError,))),
        ("ConnectionError", Retry(2, on=[ValueError, OSError])),
        ("Refused", Retry(2, on="Refused")),
        ("Refused", Retry(2, on=RemoteError)),
        ("Refused", Retry(2, on=OF_PROGRAM)),
        ("exit", Retry(2, on=ValueError)),
        ("exit", 2),
        ("timeout", Retry(2, on=CallTimeout)),
        ("timeout", Retry(2, on=TimeoutError)),
    ],
)
async def test_a_call_is_made_again_after_the_errors_of_the_policy(
    runner: Runner, tmp_path: Path, kind: str, retry: Any
) -> None:
    timeout = 0.3 if kind == "timeout" else None
    async with runner.pool("limited", 2, function="fail_first", retries=retry, timeout=timeout) as pool:
        assert await pool.submit(str(tmp_path), 2, kind) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, retry, error",
    [
        ("OSError", 2, OSError),
        ("Refused", Retry(2, on=(OSError, "refused")), RemoteError),
        ("Refused", Retry(2, on=OF_OTHER), RemoteError),
        ("timeout", Retry(2), CallTimeout),
        ("OSError", Retry(0, on=OSError), OSError),
    ],
)
async def test_a_call_is_not_made_again_after_another_error(
    runner: Runner, tmp_path: Path, kind: str, retry: Any, error: type[Exception]
) -> None:
    timeout = 0.3 if kind == "timeout" else None
    async with runner.pool("limited", 2, function="fail_first", retries=retry, timeout=timeout) as pool:
        with pytest.raises(error) as caught:
            await pool.submit(str(tmp_path), 1, kind)
    assert not any(note.startswith("try") for note in caught.value.__notes__)
    assert _calls(tmp_path) == 1


async def test_the_last_error_names_those_before_it(tmp_path: Path) -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner:
        pool = runner.pool("limited", 2, function="fail_first", retries=Retry(2, on=OSError))
        async with pool:
            with pytest.raises(OSError, match="at call 2") as caught:
                await pool.submit(str(tmp_path), 9, "OSError")
            assert await pool.submit(7, function="ident") == 7
    *_, first, second, item = caught.value.__notes__
    assert first.startswith("try 1: OSError in worker limited:")
    assert first.endswith("at call 0")
    assert second.endswith("at call 1")
    assert item.startswith("call of fail_first: (")
    states = [event[1] for event in recorder.events if event[0] == "pooled"]
    assert isinstance(states[-1], PoolState)
    assert (states[-1].done, states[-1].failed, states[-1].repeats) == (2, 1, 2)


@pytest.mark.slow
async def test_lost_workers_and_exceptions_count_together(runner: Runner, tmp_path: Path) -> None:
    async with runner.pool("limited", 1, function="fail_first", retries=Retry(1, on=OSError)) as pool:
        with pytest.raises(WorkerLost, match="exit code 3"):
            await pool.submit(str(tmp_path), 9, "exit")
    assert _calls(tmp_path) == 2


async def test_calls_wait_before_they_are_made_again_and_others_go_on(runner: Runner, tmp_path: Path) -> None:
    async with runner.pool("limited", 1, function="ident", retries=Retry(1, on=OSError, backoff=LATER)) as pool:
        failing = pool.submit(str(tmp_path), 1, "OSError", function="fail_first")
        assert await pool.map(range(50)) == list(range(50))
        assert not failing.done()
        assert _calls(tmp_path) == 1
        failing.cancel()
        await asyncio.wait([failing])
        assert await pool.submit(7) == 7


async def test_a_pause_ends_with_the_next_try(runner: Runner, tmp_path: Path) -> None:
    retry = Retry(2, on=OSError, backoff=0.02, jitter=0.02)
    async with runner.pool("limited", 2, function="fail_first", retries=retry) as pool:
        assert await pool.submit(str(tmp_path), 2, "OSError") == 3


def test_pauses_double_up_to_two_minutes() -> None:
    retry = Retry(99, backoff=0.5, jitter=0.1)
    assert [retry.pause(tries, 0.0) for tries in (1, 2, 3, 9, 99)] == [0.5, 1.0, 2.0, 120.0, 120.0]
    assert retry.pause(1, 0.5) == pytest.approx(0.55)
    assert Retry(1).pause(1, 1.0) == 0


@pytest.mark.parametrize(
    "values, error, name",
    [
        ((-1,), ValueError, "retries"),
        ((1.5,), TypeError, "retries"),
        ((1, (7,)), TypeError, "on"),
        ((1, 7), TypeError, "on"),
        ((1, int), TypeError, "on"),
        ((1, (), -0.1), ValueError, "backoff"),
        ((1, (), "1"), ValueError, "backoff"),
        ((1, (), float("inf")), ValueError, "backoff"),
        ((1, (), 0.0, float("nan")), ValueError, "jitter"),
    ],
)
def test_an_impossible_policy_is_refused(values: tuple[Any, ...], error: type[Exception], name: str) -> None:
    with pytest.raises(error, match=f"^{name}=.*: it must be "):
        Retry(*values)
