"""Calls through an executor: results, exceptions, cancelling, threads."""

import gc
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent import futures
from itertools import count
from pathlib import Path
from time import monotonic

import numpy as np
import pytest

from aioparcs import BrokenPool, EncodeError, Executor, RemoteError, SettingError, StartError, WorkerLost
from aioparcs.cpus import usable_cpus
from tests.executor.conftest import CRUNCH
from tests.support.jobs import MODULES, module
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.slow  # each starts workers


def wait_until(condition: Callable[[], bool]) -> None:
    deadline, pause = monotonic() + PATIENCE, threading.Event()
    while not condition():
        assert monotonic() < deadline
        pause.wait(0.002)


def wait_for_file(path: Path) -> None:
    wait_until(path.exists)


# Calls


def test_a_call_returns_its_result(executor: Executor) -> None:
    assert executor.submit("square", 7).result() == 49
    assert executor.submit("add", 1, b=2).result() == 3
    assert executor.submit("repeat", np.arange(3), times=2).result().tolist() == [0, 2, 4]


def test_a_function_may_have_parameters_of_any_name(tmp_path: Path) -> None:
    text = "from aioparcs import serve\ndef names(**names): return sorted(names)\nserve(names)"
    folder = module(tmp_path, "named", text) / "named"
    with Executor(1, module=folder) as executor:
        future = executor.submit("names", self=1, fn=2, function=3, args=4)
        assert future.result() == ["args", "fn", "function", "self"]


def test_submit_takes_the_function_by_its_position(executor: Executor) -> None:
    with pytest.raises(TypeError):
        executor.submit(fn="square", x=1)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        executor.submit()  # type: ignore[call-overload]


def test_a_result_that_the_program_has_set_itself_costs_no_other_call(tmp_path: Path) -> None:
    with Executor(1, module=CRUNCH) as executor:
        before = executor.submit("wait_for", str(tmp_path / "go"))
        futures = [executor.submit("square", x) for x in range(20)]
        futures[10].set_result("mine")
        (tmp_path / "go").touch()
        before.result()
        assert [future.result() for future in futures] == [
            *(x * x for x in range(10)),
            "mine",
            *(x * x for x in range(11, 20)),
        ]
        running = executor.submit("wait_for", str(tmp_path / "next"))
        wait_until(running.running)
        running.set_result("mine")
        (tmp_path / "next").touch()
        assert executor.submit("square", 3).result() == 9
        assert running.result() == "mine"


def test_an_exception_of_the_function_arrives(executor: Executor) -> None:
    future = executor.submit("refuse_odd", 3)
    error = future.exception()
    assert isinstance(error, ValueError)
    assert isinstance(error, RemoteError)
    assert "3 is odd" in str(error)
    with pytest.raises(ValueError, match="3 is odd"):
        future.result()
    assert error.__notes__[-1] == "call of refuse_odd: (3)"


def test_what_cannot_be_sent_is_an_error_of_that_call(executor: Executor) -> None:
    assert isinstance(executor.submit("square", object()).exception(), EncodeError)
    assert executor.submit("square", 2).result() == 4


def test_a_function_that_is_not_served_is_an_error_of_that_call(executor: Executor) -> None:
    with pytest.raises(LookupError, match="no function 'cube' is served here"):
        executor.submit("cube", 2).result()


def test_a_lost_worker_fails_its_call_and_is_replaced(executor: Executor) -> None:
    with pytest.raises(WorkerLost, match="SIGKILL"):
        executor.submit("die_at", 1, 1).result()
    assert sum(executor.map("square", range(100))) == 328350


def test_a_call_is_repeated_when_its_worker_dies(tmp_path: Path) -> None:
    with Executor(1, module=CRUNCH, retries=1) as executor:
        assert executor.submit("note_and_die_once", str(tmp_path), "call").result() == "call"


def test_setup_is_called_in_each_worker() -> None:
    with Executor(2, module=CRUNCH, setup={"factor": 3}) as executor:
        assert list(executor.map("scale", range(4))) == [0, 3, 6, 9]


def test_a_coroutine_function_is_awaited(executor: Executor) -> None:
    assert executor.submit("blob", 3).result() == b"\7\7\7"


def test_variables_reach_the_workers(tmp_path: Path) -> None:
    text = "import os\nfrom aioparcs import serve\ndef read(name): return os.environ[name]\nserve(read)"
    folder = module(tmp_path, "reader", text) / "reader"
    with Executor(1, module=folder, env={"COLOUR": "red"}) as executor:
        assert executor.submit("read", "COLOUR").result() == "red"


# map


def test_map_yields_results_in_order(executor: Executor) -> None:
    assert list(executor.map("add", range(20), range(20))) == [2 * n for n in range(20)]
    assert list(executor.map("square", range(20), chunksize=7)) == [n * n for n in range(20)]


def test_map_raises_where_the_result_would_be(executor: Executor) -> None:
    results = executor.map("refuse_odd", [0, 2, 3, 4])
    assert next(results) == 0
    assert next(results) == 2
    with pytest.raises(ValueError, match="3 is odd"):
        next(results)


def test_map_submits_at_once(executor: Executor) -> None:
    taken = []

    def items() -> Iterator[int]:
        for n in range(50):
            taken.append(n)
            yield n

    results = executor.map("square", items())
    assert len(taken) == 50
    assert len(list(results)) == 50


@pytest.mark.parametrize("buffersize", [1, 3, 1000])
def test_map_with_a_buffersize_takes_no_more_items_than_that_ahead(executor: Executor, buffersize: int) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for n in count() if buffersize < 1000 else range(10):
            taken = n + 1
            yield n

    results = executor.map("square", items(), buffersize=buffersize)
    assert taken == min(buffersize, 10)
    for n in range(10):
        assert next(results) == n * n
        assert taken <= n + 1 + buffersize


def test_map_with_a_buffersize_that_is_closed_cancels_what_it_has_submitted(tmp_path: Path) -> None:
    go = tmp_path / "go"
    with Executor(1, module=CRUNCH) as executor:
        results = executor.map("wait_for", [str(go)] * 30, buffersize=20)
        go.touch()
        assert next(results) == str(go)
        results.close()  # type: ignore[attr-defined]  # it is a generator, as that of the standard library


def test_map_has_a_deadline(executor: Executor, tmp_path: Path) -> None:
    go = tmp_path / "go"
    for buffersize in (None, 2):
        with pytest.raises(TimeoutError):
            list(executor.map("wait_for", [str(go)], timeout=0, buffersize=buffersize))
    go.touch()


@pytest.mark.parametrize("wrong", [{"chunksize": 0}, {"buffersize": 0}, {"buffersize": -1}])
def test_map_refuses_impossible_numbers(executor: Executor, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"chunksize must be >= 1|buffersize must be None or > 0"):
        executor.map("square", [1], **wrong)
    with pytest.raises(TypeError, match="buffersize must be an integer or None"):
        executor.map("square", [1], buffersize=1.5)  # type: ignore[call-overload]


# Futures


def test_a_future_that_no_worker_has_can_be_cancelled(tmp_path: Path) -> None:
    go = tmp_path / "go"
    with Executor(1, module=CRUNCH) as executor:
        held = executor.submit("mark_and_wait_for", str(tmp_path / "begun"), str(go))
        others = [executor.submit("note", str(tmp_path), f"call{n}") for n in range(20)]
        wait_for_file(tmp_path / "begun")
        assert held.running()
        assert not held.cancel()
        cancelled = [n for n, future in enumerate(others) if future.cancel()]
        assert cancelled
        assert not any(others[n].running() for n in cancelled)
        go.touch()
    assert held.result() == str(go)
    assert {future.cancelled() or future.result() == f"call{n}" for n, future in enumerate(others)} == {True}
    begun = {n for n in range(20) if (tmp_path / f"call{n}").exists()}
    assert begun == set(range(20)) - set(cancelled)


def test_waiters_notice_a_cancelled_future(tmp_path: Path) -> None:
    go = tmp_path / "go"
    with Executor(1, module=CRUNCH) as executor:
        calls = [executor.submit("wait_for", str(go)) for _ in range(20)]
        calls[-1].cancel()
        go.touch()
        done, pending = futures.wait(calls)
        assert done == set(calls)
        assert not pending
        assert set(futures.as_completed(calls)) == set(calls)


def test_futures_are_completed_as_they_come(executor: Executor, tmp_path: Path) -> None:
    slow = executor.submit("wait_for", str(tmp_path / "go"))
    quick = executor.submit("square", 2)
    done, pending = futures.wait([slow, quick], return_when=futures.FIRST_COMPLETED)
    assert (done, pending) == ({quick}, {slow})
    completed = futures.as_completed([slow, quick, quick])
    assert next(completed) is quick
    (tmp_path / "go").touch()
    assert list(completed) == [slow]


def test_the_first_exception_ends_a_wait(executor: Executor, tmp_path: Path) -> None:
    slow = executor.submit("wait_for", str(tmp_path / "go"))
    failing = executor.submit("refuse_odd", 1)
    done, pending = futures.wait([slow, failing], return_when=futures.FIRST_EXCEPTION)
    assert (done, pending) == ({failing}, {slow})
    with pytest.raises(TimeoutError):
        slow.result(timeout=0)
    assert futures.wait([slow], timeout=0) == (set(), {slow})
    (tmp_path / "go").touch()


def test_a_callback_may_submit_calls(executor: Executor) -> None:
    results: list[int] = []
    done = threading.Event()

    def square_again(future: "futures.Future[int]") -> None:
        results.append(future.result())
        if len(results) == 3:
            done.set()
        else:
            executor.submit("square", results[-1]).add_done_callback(square_again)

    executor.submit("square", 2).add_done_callback(square_again)
    assert done.wait(20)
    assert results == [4, 16, 256]


@pytest.mark.untraced
def test_arguments_and_results_are_not_kept(executor: Executor) -> None:
    argument = np.arange(10)
    kept = weakref.ref(argument)
    future = executor.submit("repeat", argument, 2)
    del argument
    future.result()
    for result in executor.map("repeat", [np.arange(3)] * 3, [2] * 3):
        kept_result = weakref.ref(result)
        del result
        assert kept_result() is None
    gc.collect()
    assert kept() is None


# Threads


def test_threads_may_share_an_executor(executor: Executor) -> None:
    with futures.ThreadPoolExecutor(8) as threads:
        sums = threads.map(lambda n: sum(executor.map("add", range(50), [n] * 50)), range(8))
        assert list(sums) == [1225 + 50 * n for n in range(8)]


def test_several_executors_work_at_once() -> None:
    with Executor(1, module=CRUNCH) as first, Executor(1, module=MODULES / "functions") as second:
        one, other = first.submit("pid"), second.submit("pid")
        assert len({one.result(), other.result(), os.getpid()}) == 3


# Options


@pytest.mark.parametrize("number", [0, -1])
def test_there_must_be_a_worker(number: int) -> None:
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        Executor(number, module=CRUNCH)


def test_impossible_options_are_refused_when_the_executor_is_made() -> None:
    with pytest.raises(TypeError, match="max_workers='2': it must be a whole number, at least 1"):
        Executor("2", module=CRUNCH)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="memory="):
        Executor(1, module=CRUNCH, memory="much")
    with pytest.raises(TypeError, match=r"Executor\(\) got an unexpected keyword argument 'mp_context'"):
        Executor(1, module=CRUNCH, mp_context=None)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="setup="):
        Executor(1, module=CRUNCH, setup=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="retries="):
        Executor(1, module=CRUNCH, retries=-1)
    with pytest.raises(SettingError, match="there is no engine 'swam'"):
        Executor(1, module=CRUNCH, engine="swam")


def test_there_is_a_worker_for_each_cpu() -> None:
    assert Executor(module=CRUNCH)._max_workers == usable_cpus()


# Executors that break


def test_workers_that_cannot_be_started_break_the_executor(tmp_path: Path) -> None:
    with Executor(2, module=tmp_path / "nothing") as executor:
        future = executor.submit("square", 2)
        error = future.exception()
        assert isinstance(error, BrokenPool)
        assert isinstance(error, futures.BrokenExecutor)
        assert isinstance(error.__cause__, StartError)
        assert "there is no main.py" in str(error)
        with pytest.raises(BrokenPool, match=r"there is no main\.py"):
            executor.submit("square", 2)


def test_a_runner_that_cannot_begin_breaks_the_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCS_LIVENESS", "soon")
    with Executor(1, module=CRUNCH) as executor:
        error = executor.submit("square", 2).exception()
        assert isinstance(error, BrokenPool)
        assert isinstance(error.__cause__, SettingError)
        with pytest.raises(BrokenPool, match="PARCS_LIVENESS"):
            executor.submit("square", 2)


def test_workers_that_all_die_idle_break_the_executor(tmp_path: Path) -> None:
    text = "import os, threading\nfrom aioparcs import serve\ndef pid(): return os.getpid()\n"
    text += "def setup(): threading.Timer(0.05, os._exit, [1]).start()\nserve(pid, setup)"
    folder = module(tmp_path, "mortal", text) / "mortal"
    with Executor(1, module=folder, setup={}) as executor:
        executor.submit("pid").exception()
        thread, place = executor._thread, executor._plan.find("pid")
        assert thread
        wait_until(lambda: thread.error(place) is not None)
        with pytest.raises(BrokenPool, match="have died while idle"):
            executor.submit("pid")
