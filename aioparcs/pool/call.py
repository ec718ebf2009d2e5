"""One item on its way: what to call, for whom, and where it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from reprlib import Repr
from typing import Any, Protocol

__all__ = ["Client", "PendingCall", "safe_repr", "take_wanted"]

# An item as an error shows it: enough to know it by, whatever its size.
_short = Repr()
_short.maxother = _short.maxstring = 60
_short.maxlevel = 2
_WIDE = 256  # bits


class Client(Protocol):
    """Whoever asks for calls, and takes what becomes of them."""

    @property
    def is_over(self) -> bool:
        """True when it will give no more calls, and has all results."""

    def take(self, most: int) -> list[PendingCall]:
        """Give the next calls to make, as many as there are now."""

    def settle(self, work: PendingCall, ok: bool, value: Any) -> None:
        """Take a result, or the exception in its place; `wake` follows."""

    def wake(self) -> None:
        """Have whoever waits for results look for them."""

    def cancel(self) -> None:
        """Cancel whoever waits for results."""

    def fail(self, error: BaseException) -> None:
        """Have whoever waits for results raise an error: there will be none."""


class Executor(Protocol):
    """Who makes calls: a worker of the pool."""

    def cancel(self, call: PendingCall) -> None:
        """Do without the call's result: revoke it, or have a coroutine function cancelled."""


class PendingCall:
    """
    One call, from when it is taken until it is settled.

    Attributes:
        client: who asked for it.
        index: its place among the client's.
        function: the function's name.
        args: its arguments.
        kwargs: its keyword arguments.
        call_id: the call's id on the channel that it was sent over.
        executor: the worker that has it, None for none.
        is_cancelled: True when its result is of no interest any more.
    """

    __slots__ = ("args", "call_id", "client", "executor", "function", "index", "is_cancelled", "kwargs")

    def __init__(
        self, client: Client, index: int, function: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        self.client = client
        self.index = index
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.call_id = -1
        self.executor: Executor | None = None
        self.is_cancelled = False

    def __str__(self) -> str:
        given = [safe_repr(arg) for arg in self.args]
        given += [f"{name}={safe_repr(value)}" for name, value in self.kwargs.items()]
        return f"item {self.index}: ({', '.join(given)})"

    def cancel(self) -> None:
        """Do without its result: revoke it, or have a coroutine function cancelled."""
        if not self.is_cancelled:
            self.is_cancelled = True
            if self.executor is not None:
                self.executor.cancel(self)


def take_wanted(queue: deque[PendingCall], most: int) -> list[PendingCall]:
    """Remove the first calls from a queue, and return those of them whose results are of interest."""
    works: list[PendingCall] = []
    while queue and len(works) < most:
        work = queue.popleft()
        if not work.is_cancelled:
            works.append(work)
    return works


def safe_repr(value: Any) -> str:
    """Show an argument; one that can't be shown, or not quickly, by its type and size."""
    try:
        if isinstance(value, int) and value.bit_length() > _WIDE:
            return f"<int of {value.bit_length()} bits>"
        if isinstance(value, bytes | bytearray | memoryview):
            return f"<{type(value).__name__} of {len(value)} bytes>"
        return _short.repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
