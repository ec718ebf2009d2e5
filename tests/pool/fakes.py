"""Clients of a pool's scheduler, and workers that are no processes."""

from collections import deque
from collections.abc import Callable

from aioparcs.errors import CallTimeout, RemoteError
from aioparcs.pool.scheduler import Action, Assign, Cancel, Outcome, PendingCall, Result, Supply, WorkerState
from aioparcs.wire import REVOKED

__all__ = ["COROUTINE", "PLAIN", "FakeClient", "FakeWorker"]

PLAIN, COROUTINE = "plain", "coroutine"


class FakeClient:
    """
    A client with so many calls left.

    Args:
        left: how many.
        function: the function of its calls.
        unsendable: every so many-th call can't be sent; 0 for none.
        pending: its supply when it has no calls left, and waits for results.
        priority: that of its calls.
    """

    def __init__(
        self,
        left: int,
        function: str,
        unsendable: int = 0,
        pending: Supply = Supply.EXHAUSTED,
        priority: int = 0,
    ) -> None:
        self.priority = priority
        self.waits = ""
        self.left = left
        self.function = function
        self.unsendable = unsendable
        self.pending = pending
        self.unsettled: dict[PendingCall, None] = {}
        self.taken = 0

    @property
    def supply(self) -> Supply:
        """Whether it has more calls."""
        return Supply.MORE if self.left else self.pending if self.unsettled else Supply.OVER

    def make(self, function: str) -> PendingCall:
        """Return a new call."""
        call = PendingCall(self, self.taken, function, (), {})
        self.taken += 1
        self.unsettled[call] = None
        return call

    def take(self, most: int) -> list[PendingCall]:
        """Return the next calls."""
        count = min(most, self.left)
        self.left -= count
        return [self.make(self.function) for _ in range(count)]

    def can_send(self, call: PendingCall) -> bool:
        """Return False for one of the calls that can't be sent."""
        return not self.unsendable or call.index % self.unsendable > 0

    def settle(self, outcomes: list[Outcome]) -> None:
        """Count calls as settled: each once, and none that was cancelled, or this fails."""
        for call, _, _ in outcomes:
            del self.unsettled[call]

    def cancel(self) -> None:
        """Do nothing: no coroutine waits."""

    def fail(self, error: BaseException) -> None:
        """Do nothing: no coroutine waits."""


class FakeWorker:
    """
    A worker process: requests on their way to it, calls that wait and run in it, answers on their way from it.

    Args:
        state: what the scheduler knows of it.
        on_begin: called with each call that it begins.
    """

    def __init__(self, state: WorkerState, on_begin: Callable[[PendingCall], None]) -> None:
        self.state = state
        self.on_begin = on_begin
        self.requests: deque[tuple[type[Action], PendingCall]] = deque()
        self.waiting: deque[PendingCall] = deque()
        self.running: list[PendingCall] = []
        self.answers: deque[Result] = deque()
        self.calls: dict[int, PendingCall] = {}  # that it was sent
        self.is_connected = True
        self.is_drained = self.is_expired = False

    def receive(self) -> None:
        """Handle the next request, and begin what may run."""
        kind, call = self.requests.popleft()
        if kind is Assign:
            self.waiting.append(call)
        elif call in self.waiting:
            self.waiting.remove(call)
            self.answers.append((call.call_id, False, RemoteError(REVOKED, "it has not begun")))
        elif kind is Cancel and call in self.running and call.function == COROUTINE:
            self.finish(call, False)
        self._begin()

    def _begin(self) -> None:
        """Begin one plain call, and coroutines as many as may run at once, each kind in its order."""
        room = {PLAIN: 1, COROUTINE: self.state.concurrency}
        for call in self.running:
            room[call.function] -= 1
        for call in list(self.waiting):
            if room[call.function] > 0:
                room[call.function] -= 1
                self.waiting.remove(call)
                self.running.append(call)
                self.on_begin(call)
            elif not any(room.values()):
                break

    def finish(self, call: PendingCall, ok: bool) -> None:
        """Finish one of the calls that run."""
        self.running.remove(call)
        self.answers.append((call.call_id, ok, 7 if ok else RemoteError("ValueError", "no")))
        self._begin()

    def time_out(self, call: PendingCall, *, ends_worker: bool) -> None:
        """Stop a call that has passed its limit; the caller kills the worker if that is to end with it."""
        self.running.remove(call)
        self.answers.append((call.call_id, False, CallTimeout(1.0, ended_worker=ends_worker)))
        if not ends_worker:
            self._begin()

    def substitute(self, call_id: int, call: PendingCall) -> PendingCall:
        """Put a call in place of the one with the same id, and return that."""
        old, self.calls[call_id] = self.calls[call_id], call
        self.requests = deque((kind, call if one is old else one) for kind, one in self.requests)
        self.waiting = deque(call if one is old else one for one in self.waiting)
        self.running = [call if one is old else one for one in self.running]
        return old

    def work(self, requests: int, finished: int) -> None:
        """Handle some requests, and finish some calls, not always the eldest first."""
        for _ in range(min(requests, len(self.requests))):
            self.receive()
        for _ in range(finished):
            if self.running:
                self.finish(self.running[-(self.state.id + finished) % len(self.running)], finished % 4 > 0)

    def take_answers(self, count: int) -> list[Result]:
        """Remove the first answers."""
        return [self.answers.popleft() for _ in range(min(count, len(self.answers)))]
