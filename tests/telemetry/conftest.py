"""The provider of tracers of a test."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace

from tests.support.telemetry import Telemetry


@pytest.fixture
def telemetry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Telemetry]:
    """Set a provider, as a program does once in its life."""
    made = Telemetry()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", made.provider)
    yield made
    made.provider.shutdown()
