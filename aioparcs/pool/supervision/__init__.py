"""The supervision of a pool's workers: they are started, replaced, and ended, as many as there is work for."""

from aioparcs.pool.supervision.startup import WorkerProvider
from aioparcs.pool.supervision.supervisor import PoolSupervisor

__all__ = ["PoolSupervisor", "WorkerProvider"]
