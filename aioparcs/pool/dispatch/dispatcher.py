"""The dispatcher of a pool, to which clients submit their calls."""

from __future__ import annotations

import asyncio

from aioparcs.errors import ParcsError
from aioparcs.pool.dispatch.performer import Performer
from aioparcs.pool.dispatch.streams import StreamDispatcher
from aioparcs.pool.dispatch.workers import PoolWorkers
from aioparcs.pool.observers import CallObserver
from aioparcs.pool.progress import Progress
from aioparcs.pool.scheduler import Client, PendingCall, Scheduler

__all__ = ["Dispatcher"]


class Dispatcher:
    """
    Reports to a pool's scheduler what clients want, and has its actions performed.

    Args:
        scheduler: decides.
        progress: counts the calls that are settled.
        trace: notes which workers did which calls and when, None if that is not wanted.

    Attributes:
        workers: the workers that make the calls.
        streams: opens streams in them.
    """

    def __init__(self, scheduler: Scheduler, progress: Progress, trace: CallObserver | None = None) -> None:
        self._performer = Performer(scheduler, progress, trace)
        self.workers = PoolWorkers(scheduler, self._performer, trace)
        self.streams = StreamDispatcher(scheduler, self._performer, trace)
        self._scheduler = scheduler
        self._perform = self._performer.perform
        self._trace = trace
        self._now = asyncio.get_running_loop().time

    def add_client(self, client: Client) -> None:
        """Add a client, whose calls are made in turn with those of others."""
        if self._trace:
            self._trace.added(client)
        self._perform(self._scheduler.add_client(client, self._now()))

    def drop_client(self, client: Client) -> None:
        """Remove a client: no more of its calls are made, and those that workers have are cancelled."""
        self._perform(self._scheduler.drop_client(client))

    def submit(self, call: PendingCall) -> None:
        """Queue a call, which takes turns with those of clients."""
        if self._trace:
            self._trace.submitted(call)
        self._perform(self._scheduler.submit(call, self._now()))

    def schedule(self) -> None:
        """Send calls that clients may have now to workers that have room."""
        self._perform(self._scheduler.schedule(self._now()))

    def cancel(self, call: PendingCall) -> None:
        """Discard a call's result: it is not made if it has not begun, and stopped if it can be."""
        self._perform(self._scheduler.cancel(call))

    def abort(self, call: PendingCall, error: ParcsError) -> None:
        """Settle a call with an error: it is not made if it has not begun, and stopped if it can be."""
        self._perform(self._scheduler.abort(call, error))

    def close(self) -> None:
        """Send no more calls, and cancel all waits for results."""
        for client in self._performer.stop():
            client.cancel()

    def publish_trace(self) -> None:
        """Publish what the trace has noted and not published, if there is one."""
        if self._trace:
            self._trace.publish()
