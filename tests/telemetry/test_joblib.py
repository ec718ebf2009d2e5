"""Spans of the calls of joblib: children of the span around them."""

import gc

import pytest
from joblib import Parallel, delayed

import aioparcs.joblib
from tests.executor.test_joblib import join_executors
from tests.executor.work import double
from tests.support.telemetry import Telemetry, parent

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default::DeprecationWarning")]

assert aioparcs.joblib  # which registers the backend


def test_a_call_of_joblib_is_the_child_of_the_span_around_it(telemetry: Telemetry) -> None:
    with telemetry.tracer.start_as_current_span("mine") as mine:
        assert Parallel(n_jobs=2, backend="aioparcs")(delayed(double)(n) for n in range(40)) == [*range(0, 80, 2)]
    gc.collect()  # the executor ends with the backend
    join_executors()
    assert {parent(span) for span in telemetry.calls} == {mine.get_span_context().span_id}
