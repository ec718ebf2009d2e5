"""Calls of functions in a worker: plain ones in a thread, coroutine functions in the loop, and calls taken back."""

from aioparcs.service.functions.functions import Functions
from aioparcs.service.functions.served import Find

__all__ = ["Find", "Functions"]
