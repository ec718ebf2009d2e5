"""The joblib backend: what it runs, and what it refuses."""

import gc
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config

import aioparcs.joblib
from aioparcs import RemoteError
from aioparcs.cpus import usable_cpus
from tests.executor.work import double, pid
from tests.support.jobs import execute, family
from tests.support.waiting import PATIENCE

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default::DeprecationWarning")]

assert aioparcs.joblib  # which registers the backend


@pytest.fixture(autouse=True)
def ends_its_workers(_leaves_nothing: list[str]) -> Iterator[None]:
    yield
    gc.collect()  # a test that fails keeps its frames
    join_executors()


def join_executors() -> None:
    """Wait for the executors that are no longer referenced."""
    for thread in threading.enumerate():
        if thread.name == "aioparcs-executor":
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_functions_of_any_kind_are_called() -> None:
    offset = 10
    with parallel_config(backend="aioparcs", n_jobs=2):
        assert Parallel()(delayed(double)(n) for n in range(20)) == [2 * n for n in range(20)]
        assert Parallel()(delayed(lambda n: n + offset)(n) for n in range(3)) == [10, 11, 12]
        sums = Parallel()(delayed(np.sum)(np.full(1000, n)) for n in range(3))
        assert [int(total) for total in sums] == [0, 1000, 2000]


def test_workers_stay_for_the_next_calls_of_a_block_and_end_after_it() -> None:
    with parallel_config(backend="aioparcs", n_jobs=2):
        first = set(Parallel()(delayed(pid)() for _ in range(20)))
        second = set(Parallel()(delayed(pid)() for _ in range(20)))
        assert len(first | second) <= 2
    join_executors()
    assert not family()


def test_an_exception_ends_the_other_calls() -> None:
    def refuse(n: int) -> int:
        if n == 3:
            raise ValueError("three is refused")
        return n

    with parallel_config(backend="aioparcs", n_jobs=2):
        with pytest.raises(ValueError, match="three is refused") as info:
            Parallel()(delayed(refuse)(n) for n in range(10))
        assert isinstance(info.value, RemoteError)
        assert Parallel()(delayed(double)(n) for n in range(3)) == [0, 2, 4]


def test_a_result_that_has_no_form_on_the_wire_is_a_clear_error() -> None:
    with parallel_config(backend="aioparcs", n_jobs=2):
        with pytest.raises(TypeError, match="object"):
            Parallel()(delayed(object)() for _ in range(2))


def test_results_come_one_by_one() -> None:
    with parallel_config(backend="aioparcs", n_jobs=2):
        assert list(Parallel(return_as="generator")(delayed(double)(n) for n in range(5))) == [0, 2, 4, 6, 8]


def test_options_of_the_executor_are_options_of_the_backend() -> None:
    def read() -> str:
        import os

        return os.environ["COLOUR"] + os.environ["OMP_NUM_THREADS"]

    with parallel_config(backend="aioparcs", n_jobs=2, env={"COLOUR": "red"}, inner_max_num_threads=1):
        assert Parallel()(delayed(read)() for _ in range(2)) == ["red1", "red1"]


def test_one_job_needs_no_worker() -> None:
    with parallel_config(backend="aioparcs", n_jobs=1):
        assert Parallel()(delayed(object)() for _ in range(1))
        assert not family()


@pytest.mark.parametrize("n_jobs, workers", [(3, 3), (None, 1), (-1, None), (-1000, 1)])
def test_the_number_of_workers(n_jobs: int | None, workers: int | None) -> None:
    from aioparcs.joblib.backend import AioparcsBackend

    backend = AioparcsBackend()
    assert backend.effective_n_jobs(n_jobs) == (workers or usable_cpus())
    with pytest.raises(ValueError, match="n_jobs == 0"):
        backend.effective_n_jobs(0)


def test_a_program_without_a_guard_runs() -> None:
    text = "import aioparcs.joblib\nfrom joblib import Parallel, delayed, parallel_config\ndef f(n): return n + 1\n"
    text += "parallel_config(backend='aioparcs', n_jobs=2)\nprint(Parallel()(delayed(f)(n) for n in range(3)))"
    done = execute(text)
    assert (done.stdout, done.stderr) == ("[1, 2, 3]\n", "")


def test_a_grid_search_of_scikit_learn_runs_on_it() -> None:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    features, target = load_iris(return_X_y=True)
    search: Any = GridSearchCV(LogisticRegression(max_iter=1000), {"C": [0.1, 1.0, 10.0]}, cv=3)
    search.fit(features, target)
    alone = search.cv_results_["mean_test_score"]
    with parallel_config(backend="aioparcs", n_jobs=2):
        search.fit(features, target)
    assert search.cv_results_["mean_test_score"].tolist() == alone.tolist()
    assert search.best_score_ > 0.9
