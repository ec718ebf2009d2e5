"""The program of a worker: `Service`, `serve` at the end of its ``main.py``, and `worker_rng` for random numbers."""

from aioparcs.service.random_streams import worker_rng
from aioparcs.service.serve import serve
from aioparcs.service.service import Service

__all__ = ["Service", "serve", "worker_rng"]
