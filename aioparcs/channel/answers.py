"""Answers to calls from the thread that runs the functions, past the event loop."""

from __future__ import annotations

import asyncio
import os
import select
import threading
from typing import Any

from aioparcs import codec, wire
from aioparcs.channel.calls import Calls
from aioparcs.channel.failure import error_map
from aioparcs.errors import EncodeError, ParcsError
from aioparcs.wire import FrameType

__all__ = ["Answers"]


class Answers:
    """
    Sends the results of one channel's calls, from the event loop and from one other thread.

    When `send_now` returns the result is with the kernel, and what its sender does next, be it to kill the process,
    can't take it back. The thread writes to the socket itself: to wait for the event loop would cost a small
    function ten times what it costs.

    Args:
        channel: where the calls come from.
    """

    def __init__(self, channel: Calls) -> None:
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._outbox = channel.share_writing(self._lock)
        # A descriptor of its own: the loop closes the other one when it likes, and its number is then somebody else's.
        self._fd = os.dup(self._outbox.fd) if self._outbox.fd >= 0 else -1

    def close(self) -> None:
        """Have the thread, if it still computes, write no more."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1

    async def send(self, call_id: int, ok: bool, value: Any) -> None:
        """Answer a call, from the event loop; a caller that is gone is no error."""
        try:
            try:
                await self._channel.send_result(call_id, ok, value)
            except EncodeError as error:
                await self._channel.send_result(call_id, False, error_map(error))
        except ParcsError:
            pass

    def send_now(self, call_id: int, ok: bool, value: Any) -> None:
        """Answer a call, from the thread; a caller that is gone is no error."""
        try:
            pieces = self._encode(call_id, ok, value)
        except EncodeError as error:
            ok, value = False, error_map(error)
            pieces = self._encode(call_id, ok, value)
        with self._lock:
            if self._fd >= 0 and self._outbox.empty:
                self._outbox.count(sum(map(len, pieces)))
                for piece in pieces:
                    self._write(piece)
                return
        asyncio.run_coroutine_threadsafe(self._deliver(call_id, ok, value), self._loop).result()

    def _encode(self, call_id: int, ok: bool, value: Any) -> list[Any]:
        body, buffers = codec.encode_result(call_id, ok, value)
        self._channel.check_size(len(body), sum(map(len, buffers)))
        return wire.encode_frame(FrameType.RESULT, body, buffers)

    def _write(self, piece: Any) -> None:
        """Write all of it, however long the peer takes to read: half a frame would be the end of the channel."""
        done = 0
        try:
            while True:
                try:
                    done += os.write(self._fd, memoryview(piece)[done:] if done else piece)
                    if done == len(piece):
                        return
                except BlockingIOError:
                    waiting = select.poll()
                    waiting.register(self._fd, select.POLLOUT)
                    waiting.poll()
        except OSError:
            pass  # the connection is lost; the loop meets the same error, and tells

    async def _deliver(self, call_id: int, ok: bool, value: Any) -> None:
        """Answer behind what the loop has not written yet, or where only the loop can write, as with TLS."""
        await self.send(call_id, ok, value)
        await self._outbox.drain()
