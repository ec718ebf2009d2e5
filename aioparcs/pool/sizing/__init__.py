"""
The number of a pool's workers: how many to start, and which to end.

Nothing here does input or output, or reads a clock, as in `aioparcs.pool.scheduler`.
"""

from aioparcs.pool.sizing.autoscaler import Autoscaler, Bounds
from aioparcs.pool.sizing.replicas import Replicas, Step

__all__ = ["Autoscaler", "Bounds", "Replicas", "Step"]
