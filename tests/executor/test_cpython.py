"""The standard library's own tests of executors, where Python has them, but for those that need pickle."""

import unittest
from importlib import import_module
from typing import Any

import pytest

from aioparcs import Executor

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

_PACKAGE = "test.test_concurrent_futures"
_TESTS = (
    ("executor", "ExecutorTest"),
    ("test_wait", "WaitTests"),
    ("test_as_completed", "AsCompletedTests"),
    ("test_shutdown", "ExecutorShutdownTest"),
)
# Those of what this executor doesn't do, or does in its own way; and those that make one by its name in the library.
_OTHERS = {
    "test_submit_keyword",  # a tuple arrives as a list
    "test_map_exception",  # the same
    "test_no_stale_references",  # a method of an object
    "test_free_reference",  # objects of a class of the test's
    "test_swallows_falsey_exceptions",  # an exception of a class of the test's
    "test_shutdown_race_issue12456",  # calls a class, str
    "test_hang_gh94440",  # the same, int
    "test_cancel_futures",  # wants one to be made, also if all are cancelled before there are workers
    "test_interpreter_shutdown",
    "test_submit_after_interpreter_shutdown",
    "test_hang_gh83386",
}


def _make(module: str, mixin: str) -> type[unittest.TestCase] | None:
    """Return the tests of a mixin for this executor, None where this Python has none."""
    try:
        util, tests = import_module(f"{_PACKAGE}.util"), getattr(import_module(f"{_PACKAGE}.{module}"), mixin)
    except (ImportError, AttributeError):
        return None
    names: dict[str, Any] = dict.fromkeys(_OTHERS & set(dir(tests)))
    bases = (tests, util.ExecutorMixin, util.BaseTestCase)
    return type(mixin, bases, {"executor_type": Executor, "__module__": __name__, **names})


globals().update({f"Test{mixin}": case for module, mixin in _TESTS if (case := _make(module, mixin))})
