"""The performer of what a pool's scheduler decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from aioparcs.errors import ParcsError
from aioparcs.pool.dispatch.worker import PoolWorker, annotate
from aioparcs.pool.observers import CallObserver
from aioparcs.pool.progress import Progress
from aioparcs.pool.scheduler import (
    Action,
    Assign,
    Cancel,
    Client,
    Drained,
    Expire,
    Pull,
    Repeat,
    Revoke,
    Scheduler,
    Settle,
    Wake,
)

__all__ = ["Performer"]


class Performer:
    """
    Performs actions of a scheduler in their order, and reports to it what comes of them.

    Args:
        scheduler: decides.
        progress: counts the calls that are settled.
        trace: notes when calls are sent, None if that is not wanted.

    Attributes:
        workers: the workers that are up, by number.
    """

    def __init__(self, scheduler: Scheduler, progress: Progress, trace: CallObserver | None) -> None:
        self.workers: dict[int, PoolWorker] = {}
        self._scheduler = scheduler
        self._progress = progress
        self._trace = trace
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._timer: asyncio.TimerHandle | None = None
        self._actions: list[Action] = []
        self._is_performing = False
        self._performers: dict[type[Action], Callable[[Any], None]] = {
            Pull: self._pull,
            Assign: self._assign,
            Settle: self._settle,
            Repeat: self._repeat,
            Wake: self._wake,
            Revoke: self._revoke,
            Cancel: self._cancel,
            Drained: lambda action: self.workers[action.worker].drained.set(),
            Expire: lambda action: self.workers[action.worker].expired.set(),
        }

    def perform(self, actions: list[Action]) -> None:
        """Perform actions, behind those that are being performed."""
        self._actions += actions
        if self._is_performing:  # an action has made an event, as when a source of items submits calls
            return
        self._is_performing = True
        performers = self._performers
        rest: Iterator[Action] = iter(())
        try:
            while actions := self._actions:
                self._actions = []
                for action in (rest := iter(actions)):
                    performers[type(action)](action)
        except BaseException:
            self._actions = [*rest, *self._actions]
            self._loop.call_soon(self.perform, [])
            raise
        finally:
            self._is_performing = False

    def stop(self) -> list[Client]:
        """Send no more calls; return the clients that wait for results."""
        clients = self._scheduler.close()
        self.perform([Wake(None)])
        return clients

    def _pull(self, action: Pull) -> None:
        client, most = action
        calls = client.take(most)
        self._actions += self._scheduler.pulled(calls, client.supply, self._now())

    def _revoke(self, action: Revoke) -> None:
        self.workers[action.worker].revoke(action.calls)

    def _cancel(self, action: Cancel) -> None:
        number, call, error = action
        worker, error = self.workers[number], error or asyncio.CancelledError("its caller needs no result")
        if self._trace:
            self._trace.cancelled(worker.state, call, self._now(), error)
        worker.cancel(call, error)

    def _assign(self, action: Assign) -> None:
        number, calls = action
        worker, begin = self.workers[number], self._now()
        try:
            rejected = worker.post(calls)
        except BaseException as error:
            self._actions += self._scheduler.disconnected(number, calls, self._now())
            if isinstance(error, ParcsError):  # it is gone; the reason is about to be known
                return
            worker.task.abort()  # some of the calls may be on their way to it: others make them
            raise
        if self._trace and worker.state.concurrency > 1:
            self._trace.sent([call for call in calls if call.served in worker.state.coroutines], begin)
        if not worker.is_writable:
            worker.state.is_writable = False
        self._actions += self._scheduler.sent(number, calls, rejected, self._now())

    def _repeat(self, action: Repeat) -> None:
        number, call, error = action
        annotate(self.workers.get(number), call, error)
        self._progress.repeated()

    def _settle(self, action: Settle) -> None:
        number, client, outcomes, failures = action
        for call, _, error in failures:
            annotate(self.workers.get(number), call, error)
        client.settle(outcomes)
        self._progress.settled(len(outcomes), len(failures))

    def _wake(self, action: Wake) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None if action.when is None else self._loop.call_at(action.when, self._tick)

    def _tick(self) -> None:
        self._timer = None
        needs_nodes = self._scheduler.needs_nodes
        for worker in self.workers.values():
            if not worker.state.is_writable:
                worker.state.is_writable = worker.is_writable
            if needs_nodes:
                worker.state.node = worker.task.node
        self.perform(self._scheduler.tick(self._now()))
