"""Executors of the tests: workers of the module crunch."""

from collections.abc import Iterator

import pytest

from aioparcs import Executor
from tests.support.jobs import MODULES

CRUNCH = MODULES / "crunch"


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor(2, module=CRUNCH) as executor:
        yield executor
