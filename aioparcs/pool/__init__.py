"""The pool, which spreads calls of functions over workers: `Pool`."""

from aioparcs.pool.options import PoolOptions
from aioparcs.pool.pool import Pool
from aioparcs.pool.results import ResultIterator
from aioparcs.pool.supervisor import WorkerProvider

__all__ = ["Pool", "PoolOptions", "ResultIterator", "WorkerProvider"]
