"""The program of a worker: `Service`, and `serve` at the end of its ``main.py``."""

from aioparcs.service.serve import serve
from aioparcs.service.service import Service

__all__ = ["Service", "serve"]
