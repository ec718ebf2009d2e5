"""The function that workers of the joblib backend serve: it runs a batch of calls."""

from __future__ import annotations

from typing import Any

import cloudpickle

__all__ = ["pack_batch", "run_batch"]


def pack_batch(batch: Any) -> bytes:
    """Return a batch of joblib's as a worker of this program gets it."""
    data: bytes = cloudpickle.dumps(batch)
    return data


def run_batch(data: bytes) -> list[Any]:
    """Run a batch of calls; return their results, which are sent as those of any call and never pickled."""
    results: list[Any] = cloudpickle.loads(data)()
    return results
