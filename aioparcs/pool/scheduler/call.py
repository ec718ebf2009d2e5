"""One call of a pool: its function and arguments, its client, and the phase that it is in."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, Protocol

from aioparcs.errors import EncodeError, call_text, safe_repr
from aioparcs.wire import LIMITED

__all__ = [
    "CallPhase",
    "Client",
    "LimitedCall",
    "Outcome",
    "PendingCall",
    "Supply",
    "not_arguments",
    "take_queued",
]


class Supply(Enum):
    """Whether a client has more calls."""

    MORE = auto()
    """It has, or may have without further notice."""
    EXHAUSTED = auto()
    """It has none now."""
    OVER = auto()
    """It will have none, and waits for no results."""


class Client(Protocol):
    """A source of calls, and the receiver of their results."""

    @property
    def priority(self) -> int:
        """That of its calls, which never changes: those of a higher one are made first."""

    @property
    def supply(self) -> Supply:
        """Whether it has more calls."""

    @property
    def waits(self) -> str:
        """What it waits for until it has more calls, as text for people; "" for nothing."""

    def take(self, most: int) -> list[PendingCall]:
        """Return the next calls to make, as many as are available now."""

    def settle(self, outcomes: list[Outcome]) -> None:
        """Accept results, or the exceptions in their places, and wake the coroutine that waits for them."""

    def cancel(self) -> None:
        """Cancel the wait for results."""

    def fail(self, error: BaseException) -> None:
        """Raise an error in the coroutine that waits for results: there will be none."""


class CallPhase(Enum):
    """Where a call is on its way from its client to its result."""

    QUEUED = auto()
    """No worker has it."""
    SENT = auto()
    """A worker has it."""
    REVOKING = auto()
    """A worker has it, and was asked to return it if it has not begun."""
    SETTLED = auto()
    """Its client has its result, or the error in its place."""
    CANCELLED = auto()
    """Its result is no longer needed; a worker may still have it."""


_QUEUED, _CANCELLED = CallPhase.QUEUED, CallPhase.CANCELLED  # members of an Enum are slow to look up


class PendingCall:
    """
    One call, from when its client makes it until it is settled.

    Attributes:
        client: the client that requested it.
        index: the number of its item, -1 for a call that was submitted by itself.
        function: the function's name.
        args: its arguments.
        kwargs: its keyword arguments.
        phase: where it is on its way.
        worker: the number of the worker that it was sent to; unset before.
        call_id: its id on the channel that it was sent over; unset before.
        sent: when it was sent to a worker that runs several of its kind at once, if that is traced; else unset.
        context: where its user has made it, if that is traced and it was submitted by itself; else unset.
        span: the context of its last span, if it has one that began when it was sent; else unset.
        original: the call that it is a copy of; unset for others.
    """

    __slots__ = (
        "__weakref__", "args", "call_id", "client", "context", "function", "index", "kwargs", "original", "phase",
        "sent", "span", "worker",
    )  # fmt: skip
    worker: int
    call_id: int
    sent: float
    context: Any
    span: Any
    original: PendingCall

    def __init__(
        self, client: Client, index: int, function: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        self.client = client
        self.index = index
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.phase = _QUEUED

    def __str__(self) -> str:
        return call_text(self.index, self.served, *self.arguments)

    @property
    def served(self) -> str:
        """The name of the function that runs in the worker."""
        return self.function

    @property
    def arguments(self) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """The arguments of that function, as they were given."""
        return self.args, self.kwargs

    def copy(self) -> PendingCall:
        """Return another call that does the same."""
        copy = object.__new__(type(self))
        PendingCall.__init__(copy, self.client, self.index, self.function, self.args, self.kwargs)
        copy.original = self
        if hasattr(self, "context"):
            copy.context = self.context
        return copy


class LimitedCall(PendingCall):
    """
    A call with a time limit: on the wire, a call of the worker's own function that keeps the limit.

    Args:
        limit: seconds from when it begins in the worker.
    """

    __slots__ = ("_arguments",)

    def __init__(
        self,
        client: Client,
        index: int,
        function: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        limit: float,
    ) -> None:
        super().__init__(client, index, LIMITED, (limit, function, list(args), dict(kwargs)), {})
        self._arguments = args, kwargs

    def copy(self) -> LimitedCall:
        """Return another call that does the same."""
        copy = super().copy()
        assert isinstance(copy, LimitedCall)
        copy._arguments = self._arguments
        return copy

    @property
    def served(self) -> str:
        """The name of the function that runs in the worker."""
        return str(self.args[1])

    @property
    def arguments(self) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """The arguments of that function, as they were given."""
        return self._arguments


def not_arguments(index: int, item: Any) -> EncodeError:
    """Return the error of an item that is to be the arguments of a call, and can't be."""
    return EncodeError(
        f"item {index}", f"must be a tuple of arguments, or a dict of keyword arguments, not {safe_repr(item)}"
    )


# A call, whether it succeeded, and its result or the error.
Outcome = tuple[PendingCall, bool, Any]


def take_queued(queue: deque[PendingCall], most: int) -> list[PendingCall]:
    """Remove the first calls from a queue, and return those of them that were not cancelled."""
    calls: list[PendingCall] = []
    while queue and len(calls) < most:
        call = queue.popleft()
        if call.phase is not _CANCELLED:
            calls.append(call)
    return calls
