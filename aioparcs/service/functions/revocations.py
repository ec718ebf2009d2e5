"""The calls that their caller takes back."""

from __future__ import annotations

from aioparcs.channel import CallServer, ResultWriter
from aioparcs.service.functions.coroutine_calls import CoroutineCalls
from aioparcs.service.functions.streams import StreamCalls
from aioparcs.service.functions.waiting_calls import WaitingCalls

__all__ = ["Revocations"]


class Revocations:
    """
    Cancels and revokes calls for their caller.

    Args:
        server: where the calls come from.
        waiting: those that have not begun.
        coroutines: those that run and can be cancelled.
        streams: those that yield items.
        results: answers the caller.

    Attributes:
        unwanted: revoked calls that are still on their way.
    """

    def __init__(
        self,
        server: CallServer,
        waiting: WaitingCalls,
        coroutines: CoroutineCalls,
        streams: StreamCalls,
        results: ResultWriter,
    ) -> None:
        self.unwanted: set[int] = set()
        self._server = server
        self._waiting = waiting
        self._coroutines = coroutines
        self._streams = streams
        self._results = results
        self._newest = -1
        self._has_revoked = False  # since other calls arrived
        server.on_cancel = self._cancel
        server.on_revoke = self._revoke
        server.handle_early()

    def note_arrival(self, newest: int) -> None:
        """Note that calls have arrived, up to this one, and are about to begin."""
        self._newest = newest
        if self._has_revoked:
            self._has_revoked = False
            self._server.connection.outbox.flush()

    def _cancel(self, call_id: int) -> None:
        if not self._coroutines.cancel(call_id) and not self._streams.cancel(call_id):
            self._revoke(call_id)

    def _revoke(self, call_id: int) -> None:
        """Remove a call, and answer that it is revoked, unless it has begun, or has been answered."""
        if self._waiting.calls.pop(call_id, None) is None:
            if call_id <= self._newest:
                return
            self.unwanted.add(call_id)  # it is still on its way
        self._waiting.notify()
        self._results.post_revoked(call_id)
        self._has_revoked = True
