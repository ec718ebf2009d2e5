"""Calls of functions, spread over workers: `Pool`."""

from aioparcs.pool.crew import Employer
from aioparcs.pool.pool import Pool
from aioparcs.pool.progress import Watcher
from aioparcs.pool.results import Results

__all__ = ["Employer", "Pool", "Results", "Watcher"]
