"""The teardown of a worker: the call of its module's function ``teardown`` at its clean end."""

from __future__ import annotations

import asyncio
import inspect
import sys
import traceback
from collections.abc import Callable
from typing import Any

from aioparcs import deadlines
from aioparcs.channel import Call
from aioparcs.errors import add_note
from aioparcs.service.functions.plain_calls import PlainCalls
from aioparcs.service.functions.served import TEARDOWN, ServedFunctions
from aioparcs.service.tracebacks import strip_internal_frames

__all__ = ["Teardown"]

# No call of a peer has this id.
_ID = -1


class Teardown:
    """
    Calls ``teardown`` once, when the runner has ended the worker's channel.

    Args:
        served: the functions that are served.
    """

    def __init__(self, served: ServedFunctions) -> None:
        self._served = served

    async def run(self, plain_calls: PlainCalls) -> None:
        """Call it if it is due; its exception is printed, and so is that it takes too long."""
        try:
            teardown = self._served.find_teardown()
        except Exception as error:  # of any kind: a module may have a `__getattr__`
            _warn(f"{TEARDOWN} is not called at this worker's end: {error}")
            return
        if teardown is None:
            return
        calling = asyncio.ensure_future(_attempt(teardown, plain_calls))
        # Not a timeout, whose cancellation it could ignore.
        await asyncio.wait([calling], timeout=deadlines.TEARDOWN)
        if not calling.done():
            calling.cancel()
            _warn(
                f"{TEARDOWN}() was not done {deadlines.TEARDOWN:g} s after the runner had ended this worker, and ends "
                "with it"
            )
        elif calling.cancelled():
            _warn(f"{TEARDOWN}() was cancelled by its own code")


async def _attempt(teardown: Callable[..., Any], plain_calls: PlainCalls) -> None:
    try:
        if inspect.iscoroutinefunction(teardown):
            await teardown()
        else:  # where `setup` ran: there are objects that only their own thread may close
            await plain_calls.call_wrapped(Call(_ID, TEARDOWN, [], {}))
    except (asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as error:
        add_note(error, f"in {TEARDOWN}(), which this worker has called at its end; nothing else has failed")
        traceback.print_exception(strip_internal_frames(error))


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)
