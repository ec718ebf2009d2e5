"""One call of a pool: its function and arguments, its client, and the worker that has it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from reprlib import Repr
from typing import Any, Protocol

__all__ = ["Client", "PendingCall", "safe_repr", "take_wanted"]

# An item as an error shows it: enough to recognize it, whatever its size.
_short = Repr()
_short.maxother = _short.maxstring = 60
_short.maxlevel = 2
_WIDE = 256  # bits


class Client(Protocol):
    """A source of calls, and the receiver of their results."""

    @property
    def is_over(self) -> bool:
        """True when it has no more calls, and has all results."""

    def take(self, most: int) -> list[PendingCall]:
        """Return the next calls to make, as many as are available now."""

    def settle(self, work: PendingCall, ok: bool, value: Any) -> None:
        """Accept a result, or the exception in its place; `wake` follows."""

    def wake(self) -> None:
        """Wake the coroutine that waits for results."""

    def cancel(self) -> None:
        """Cancel the wait for results."""

    def fail(self, error: BaseException) -> None:
        """Raise an error in the coroutine that waits for results: there will be none."""


class Executor(Protocol):
    """The worker of a pool that makes a call."""

    def cancel(self, call: PendingCall) -> None:
        """Discard a call's result: revoke the call, or cancel a coroutine function."""


class PendingCall:
    """
    One call, from when its client makes it until it is settled.

    Attributes:
        client: the client that asked for it.
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
        """Discard its result: revoke it, or cancel a coroutine function."""
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
    """Return a short text for an argument; its type and size if it has no repr, or a slow one."""
    try:
        if isinstance(value, int) and value.bit_length() > _WIDE:
            return f"<int of {value.bit_length()} bits>"
        if isinstance(value, bytes | bytearray | memoryview):
            return f"<{type(value).__name__} of {len(value)} bytes>"
        return _short.repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
