"""The fixtures of the pools' tests."""

from collections.abc import AsyncIterator

import pytest

from aioparcs import Runner
from tests.support.jobs import job


@pytest.fixture
async def runner() -> AsyncIterator[Runner]:
    """Yield a runner with the modules of the tests."""
    async with job() as runner:
        yield runner
