"""The pool, which spreads calls of functions over workers: `Pool`."""

from aioparcs.pool.control import PoolControl, open_pools
from aioparcs.pool.options import PoolOptions, Recycling, Size
from aioparcs.pool.pool import Pool
from aioparcs.pool.results import ResultIterator
from aioparcs.pool.scheduler import Client, Outcome, PendingCall, Retry, Supply
from aioparcs.pool.supervision import WorkerProvider

__all__ = [
    "Client",
    "Outcome",
    "PendingCall",
    "Pool",
    "PoolControl",
    "PoolOptions",
    "Recycling",
    "ResultIterator",
    "Retry",
    "Size",
    "Supply",
    "WorkerProvider",
    "open_pools",
]
