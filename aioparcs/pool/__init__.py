"""The pool, which spreads calls of functions over workers: `Pool`."""

from aioparcs.pool.pool import Pool
from aioparcs.pool.results import ResultIterator
from aioparcs.pool.supervisor import WorkerProvider

__all__ = ["Pool", "ResultIterator", "WorkerProvider"]
