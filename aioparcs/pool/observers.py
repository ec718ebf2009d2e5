"""The observers of a pool's calls: its trace for displays, and its spans for OpenTelemetry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from aioparcs.events import report_once
from aioparcs.pool.scheduler import Action, Client, PendingCall, WorkerState

if TYPE_CHECKING:  # few programs make spans
    from aioparcs.pool.spans import WorkerSpans

__all__ = ["CallObserver", "observed", "observers"]


class CallObserver(Protocol):
    """What is informed of each call of a pool; its methods are called in the event loop, and quick."""

    def worker_spans(self, worker: int, *, is_linked: bool) -> WorkerSpans | None:
        """
        Return what makes the spans of a worker's streams, if there are any.

        Args:
            worker: its number.
            is_linked: whether it makes spans itself, so that its calls have some, too.
        """

    def added(self, client: Client) -> None:
        """Note a client; this is called where its user makes the calls."""

    def submitted(self, call: PendingCall) -> None:
        """Note a call that is made by itself; this is called where its user makes it."""

    def sent(self, calls: Sequence[PendingCall], now: float) -> None:
        """Note when calls were sent to a worker that runs several of them at once."""

    def answered(self, worker: WorkerState, begin: float, now: float, actions: Sequence[Action]) -> None:
        """
        Note the results of a worker, or those that it will not have since it is gone; not those in its tally.

        Args:
            worker: the worker.
            begin: when it had answered before, or when it got its first call since.
            now: when these results came.
            actions: what the scheduler makes of them.
        """

    def cancelled(self, worker: WorkerState, call: PendingCall, now: float, error: BaseException) -> None:
        """
        Note that the result of a worker's call is no longer needed, whether or not the call has begun.

        `answered` follows, perhaps without any action, when the worker no longer has it.
        """

    def ended(
        self, worker: int, function: str, begin: float, now: float, error: BaseException | None, text: Callable[[], str]
    ) -> None:
        """Note a stream that has ended."""

    def publish(self) -> None:
        """Publish what is there."""


class _Guarded:
    """Some observers as one, whose errors are reported and affect neither the pool nor the others."""

    def __init__(self, *observers: CallObserver) -> None:
        self._observers = observers

    def worker_spans(self, worker: int, *, is_linked: bool) -> WorkerSpans | None:
        made = (one.worker_spans(worker, is_linked=is_linked) for one in self._observers)
        return next(filter(None, made), None)

    def added(self, client: Client) -> None:
        for one in self._observers:
            observed(one.added, client)

    def submitted(self, call: PendingCall) -> None:
        for one in self._observers:
            observed(one.submitted, call)

    def sent(self, calls: Sequence[PendingCall], now: float) -> None:
        for one in self._observers:
            observed(one.sent, calls, now)

    def answered(self, worker: WorkerState, begin: float, now: float, actions: Sequence[Action]) -> None:
        for one in self._observers:
            observed(one.answered, worker, begin, now, actions)

    def cancelled(self, worker: WorkerState, call: PendingCall, now: float, error: BaseException) -> None:
        for one in self._observers:
            observed(one.cancelled, worker, call, now, error)

    def ended(
        self, worker: int, function: str, begin: float, now: float, error: BaseException | None, text: Callable[[], str]
    ) -> None:
        for one in self._observers:
            observed(one.ended, worker, function, begin, now, error, text)

    def publish(self) -> None:
        for one in self._observers:
            observed(one.publish)


def observers(*wanted: CallObserver | None) -> CallObserver | None:
    """Return some observers as one, whose methods raise no exception; None if there are none."""
    there = [one for one in wanted if one is not None]
    return _Guarded(*there) if there else None


def observed(function: Callable[..., object], *args: Any) -> None:
    """Call code of an observer, which may be that of a user; report an exception in one line, and don't raise it."""
    try:
        function(*args)
    except Exception as error:
        report_once("the trace of a call failed", error)
