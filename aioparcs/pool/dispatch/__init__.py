"""The dispatch of a pool's calls: its scheduler is informed of what happens, and its actions are performed."""

from aioparcs.pool.dispatch.dispatcher import Dispatcher
from aioparcs.pool.dispatch.streams import StreamDispatcher
from aioparcs.pool.dispatch.worker import PoolWorker, Succession
from aioparcs.pool.dispatch.workers import PoolWorkers

__all__ = ["Dispatcher", "PoolWorker", "PoolWorkers", "StreamDispatcher", "Succession"]
