"""The executor, for programs without asyncio: `Executor`."""

from aioparcs.executor.executor import Executor

__all__ = ["Executor"]
