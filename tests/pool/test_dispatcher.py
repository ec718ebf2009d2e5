"""The dispatcher of pools when an action raises: it performs the others, and every call is settled."""

import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from aioparcs import EncodeError, Runner
from aioparcs.pool.dispatch import Dispatcher
from aioparcs.pool.progress import Progress
from aioparcs.pool.scheduler import PendingCall, Retry, Scheduler, Settle, WorkerState
from aioparcs.pool.sizing import Replicas
from tests.pool.fakes import PLAIN, FakeClient
from tests.support.waiting import until

pytestmark = pytest.mark.one_loop


class Interrupt(BaseException):
    """An exception that is no error, as a signal's handler raises it."""


class InterruptedWorker:
    """
    A worker; sending it calls is interrupted.

    Attributes:
        is_aborted: True when it was ended.
        posted: the calls that it was sent.
    """

    is_writable = True

    def __init__(self, id: int, *, is_interrupted: bool) -> None:
        self.id = id
        self.state = WorkerState(id, concurrency=1)
        self.is_aborted = False
        self.posted: list[PendingCall] = []
        self._is_interrupted = is_interrupted
        calls = SimpleNamespace(set_result_handler=lambda handler: None)
        self.task = SimpleNamespace(abort=self._abort, channel=SimpleNamespace(calls=calls))

    def _abort(self) -> None:
        self.is_aborted = True

    def post(self, calls: list[PendingCall]) -> list[Any]:
        if self._is_interrupted:
            raise Interrupt
        for call in calls:
            call.call_id = call.index
        self.posted += calls
        return []


class RaisingClient(FakeClient):
    """A client that raises in place of accepting results."""

    def settle(self, outcomes: list[Any]) -> None:
        raise ZeroDivisionError


class RecordingClient(FakeClient):
    """A client that remembers the order of its results."""

    def __init__(self, left: int, function: str) -> None:
        super().__init__(left, function)
        self.settled: list[PendingCall] = []

    def settle(self, outcomes: list[Any]) -> None:
        self.settled += [call for call, _, _ in outcomes]


def _dispatcher() -> Dispatcher:
    scheduler = Scheduler(Retry(0))
    return Dispatcher(scheduler, Progress(None, "test", None, scheduler.status, Replicas()))


class Referent:
    """An object that a weak reference may point to."""


async def test_an_argument_that_raises_when_inspected_fails_that_call(runner: Runner) -> None:
    dead = weakref.proxy(Referent())
    async with runner.pool("crunch", 2) as pool:
        with pytest.raises(EncodeError, match=r"^argument 0: can't be encoded: ReferenceError: ") as caught:
            await pool.submit(dead)
        assert isinstance(caught.value.__cause__, ReferenceError)
        results = await pool.map([1, dead, 3], return_exceptions=True)
        assert (results[0], type(results[1]), results[2]) == (1, EncodeError, 9)
        assert await pool.map(range(100)) == [i * i for i in range(100)]


async def test_calls_whose_sending_is_interrupted_go_to_another_worker() -> None:
    dispatcher = _dispatcher()
    interrupted: Any = InterruptedWorker(0, is_interrupted=True)
    other: Any = InterruptedWorker(1, is_interrupted=False)
    client = FakeClient(1, PLAIN)
    dispatcher.workers.add(interrupted)
    with pytest.raises(Interrupt):
        dispatcher.add_client(client)
    assert interrupted.is_aborted, "it may have some of the calls"
    dispatcher.workers.add(other)
    assert other.posted == list(client.unsettled)
    dispatcher.close()


async def test_actions_after_one_that_raises_are_performed() -> None:
    dispatcher = _dispatcher()
    raising, others = RaisingClient(1, PLAIN), [FakeClient(1, PLAIN) for _ in range(2)]
    (wrong,) = raising.take(1)
    calls = [call for client in others for call in client.take(1)]
    settles = [Settle(0, call.client, [(call, True, 7)], []) for call in (wrong, *calls)]
    with pytest.raises(ZeroDivisionError):
        dispatcher._performer.perform([*settles])
    await until(lambda: not any(client.unsettled for client in others))
    assert wrong in raising.unsettled


async def test_actions_keep_their_order_when_one_raises() -> None:
    dispatcher = _dispatcher()
    raising, client = RaisingClient(1, PLAIN), RecordingClient(2, PLAIN)
    first, second = client.take(2)
    with pytest.raises(ZeroDivisionError):
        dispatcher._performer.perform(
            [
                Settle(0, raising, [(raising.take(1)[0], True, 7)], []),
                Settle(0, client, [(first, True, 7)], []),
            ]
        )
    dispatcher._performer.perform([Settle(0, client, [(second, True, 7)], [])])
    assert client.settled == [first, second]
