"""Collective operations over a list of tasks."""

from aioparcs.collectives.barriers import barrier
from aioparcs.collectives.broadcasts import broadcast
from aioparcs.collectives.messages import gather, reduce, scatter

__all__ = ["barrier", "broadcast", "gather", "reduce", "scatter"]
