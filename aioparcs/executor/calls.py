"""The calls of an executor on their way through a pool, each with a future of `concurrent.futures`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any, NamedTuple

from aioparcs.errors import BrokenPool
from aioparcs.pool import Outcome, PendingCall, Pool, Supply

if TYPE_CHECKING:
    from opentelemetry.context import Context

__all__ = ["CallQueue", "Submission", "broken"]


# Calls that each worker may have: those cannot be cancelled, but quick ones need not wait for the wire.
_MOST_SENT = 4


class Submission(NamedTuple):
    """
    A call that was submitted.

    Attributes:
        future: gets its result.
        function: the function's name.
        args: the arguments.
        kwargs: the keyword arguments.
        context: where its span belongs, None if it has none.
    """

    future: Future[Any]
    function: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    context: Context | None


class CallQueue:
    """
    A client of a pool: calls in the order in which they were submitted.

    A future is running from when its call is sent to a worker: from then on only the worker knows whether it has begun.
    All methods are called in the event loop.

    Args:
        size: how many workers there are.
        on_idle: called whenever the last call has its result.

    Attributes:
        priority: of its calls in the pool.
        error: why no further call will be made, or None.
        why_killed: the end of the sentence about a call whose worker was killed.
    """

    priority = 0

    def __init__(self, size: int, on_idle: Callable[[], object]) -> None:
        self.error: BaseException | None = None
        self.why_killed = ""
        self._on_idle = on_idle
        self._most_sent = size * _MOST_SENT
        self._waiting: deque[Submission] = deque()
        self._running: dict[PendingCall, Future[Any]] = {}
        self._schedule: Callable[[], object] | None = None

    @property
    def is_idle(self) -> bool:
        """True when all calls have their results."""
        return not self._waiting and not self._running

    def attach(self, pool: Pool) -> None:
        """Start to make the calls, in a pool."""
        self._schedule = pool.add_client(self)

    def add(self, submissions: list[Submission]) -> None:
        """Add calls."""
        self._waiting += submissions
        if self.error is not None:
            self.fail(self.error)
        elif self._schedule is not None:
            self._schedule()

    def cancel_waiting(self) -> None:
        """Cancel the calls that no worker has."""
        waiting, self._waiting = self._waiting, deque()
        for submission in waiting:
            submission.future.cancel()
            _begin(submission.future)  # wakes those who wait for several
        self._check_idle()

    # As a client of the pool

    @property
    def supply(self) -> Supply:
        """Whether it has more calls."""
        return Supply.MORE if self._waiting else Supply.EXHAUSTED

    @property
    def waits(self) -> str:
        """Return "": nothing is known of the program that submits calls."""
        return ""

    def take(self, most: int) -> list[PendingCall]:
        """Return the next calls to make, and mark their futures as running."""
        calls: list[PendingCall] = []
        most = min(most, self._most_sent - len(self._running))
        while self._waiting and len(calls) < most:
            future, function, args, kwargs, context = self._waiting.popleft()
            if _begin(future):
                call = PendingCall(self, -1, function, args, kwargs)
                if context is not None:
                    call.context = context
                self._running[call] = future
                calls.append(call)
        self._check_idle()
        return calls

    def settle(self, outcomes: list[Outcome]) -> None:
        """Set the results of futures, or the exceptions in their places."""
        for call, ok, value in outcomes:
            future = self._running.pop(call, None)
            if future is not None:
                _end(future, ok, value)
        self._check_idle()

    def cancel(self) -> None:
        """Cancel the calls that no worker has, and fail the others: their workers are killed."""
        self.cancel_waiting()
        self._fail_running(f"its worker was killed{self.why_killed}", None)

    def fail(self, error: BaseException) -> None:
        """Fail all calls: there are no workers, and there will be none."""
        self.error = error
        waiting, self._waiting = self._waiting, deque()
        for submission in waiting:
            if _begin(submission.future):
                _end(submission.future, False, broken(error))
        self._fail_running(str(error), error)

    def _fail_running(self, reason: str, error: BaseException | None) -> None:
        running, self._running = self._running, {}
        for future in running.values():
            _end(future, False, broken(error, reason))
        self._check_idle()

    def _check_idle(self) -> None:
        if self.is_idle:
            self._on_idle()


def _begin(future: Future[Any]) -> bool:
    """Mark a future as running; return False if it was cancelled, or if the program has set its result itself."""
    if future.done() and not future.cancelled():
        return False
    try:
        return future.set_running_or_notify_cancel()
    except RuntimeError:  # the program has set it just now
        return False


def _end(future: Future[Any], ok: bool, value: Any) -> None:
    """Set the result of a future, or its exception; keep one that the program has set itself."""
    try:
        if ok:
            future.set_result(value)
        else:
            future.set_exception(value)
    except InvalidStateError:
        pass  # no reason for the other calls to have none


def broken(error: BaseException | None, reason: str = "") -> BrokenPool:
    """Return the exception for a call that is not made, with its cause."""
    exception = BrokenPool(reason or str(error))
    exception.__cause__ = error
    return exception
