"""For modules of tests whose subject is other processes, the clock or the kernel: one event loop is enough."""

import importlib.util
from typing import Any

import pytest

__all__ = ["anyio_backend"]


_UVLOOP = importlib.util.find_spec("uvloop") is not None


@pytest.fixture(scope="module", params=[pytest.param(("asyncio", {"use_uvloop": _UVLOOP}), id="one loop")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Take the place of the fixture in ``conftest.py`` wherever it is imported."""
    return request.param
