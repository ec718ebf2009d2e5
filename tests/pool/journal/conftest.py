"""A module whose functions count their calls, and the name of a journal."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aioparcs import Runner
from tests.pool.journal.work import WORK
from tests.support.jobs import MODULES, job, module


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[Runner]:
    """Yield a runner with a module whose functions count their calls."""
    async with job(module(tmp_path / "modules", "work", WORK), MODULES) as runner:
        yield runner


@pytest.fixture
def calls(tmp_path: Path) -> str:
    """Return the folder in which calls are counted."""
    (tmp_path / "calls").mkdir()
    return str(tmp_path / "calls")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Return the name of a journal."""
    return tmp_path / "run.journal"
