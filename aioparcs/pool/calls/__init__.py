"""The calls of a pool, with the types of their results: those of the functions that are called."""

from __future__ import annotations

from typing import Generic

from aioparcs.pool.calls.iterators import IteratorMethods
from aioparcs.pool.calls.maps import MapMethods
from aioparcs.pool.calls.options import CallOptions, Items, Limit, No, P, T
from aioparcs.pool.calls.submits import SubmitMethods
from aioparcs.pool.results import R

__all__ = ["CallOptions", "Items", "Limit", "No", "P", "PoolCalls", "T"]


class PoolCalls(MapMethods[R], IteratorMethods[R], SubmitMethods[P, R], Generic[P, R]):
    """The methods of a pool that call functions; ``P`` are the parameters of its function, and ``R`` is its result."""
