"""Results of calls, sent past the event loop by the thread that runs the functions."""

from __future__ import annotations

import asyncio
import os
import select
import threading
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import Any

from aioparcs import codec, wire
from aioparcs.channel.calls.result_log import ResultLog
from aioparcs.channel.calls.server import CallServer
from aioparcs.channel.error_codec import encode_error
from aioparcs.errors import EncodeError, ParcsError
from aioparcs.wire import FINISHED, REVOKED, FrameType

__all__ = ["ResultWriter"]

# How many results may wait for others to leave with, and for how many seconds.
_TOGETHER, _PATIENCE = 32, 0.0005
# Bytes of a result from which on it leaves alone.
_SMALL = 256
# In place of a larger one in the result log.
_ELSEWHERE = {"type": FINISHED, "message": "its result was lost with the connection of its worker"}
_HEADS = [wire.encode_header(FrameType.RESULT, size) for size in range(_SMALL)]


class ResultWriter:
    """
    Sends the results of one channel's calls, from the event loop and from one other thread.

    When `send_now` returns, what its sender does next, be it to kill the process, can't take the result back: it is in
    the result log, or that says at least that the call was finished. The thread writes to the socket itself: to wait
    for the event loop would cost a small function ten times what it costs.

    Args:
        server: where the calls come from.
        result_log: keeps results; without one each leaves at once, and may be lost with the process.
    """

    def __init__(self, server: CallServer, result_log: ResultLog | None) -> None:
        self._server = server
        self._check_size = server.connection.sender.check_size
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._outbox = server.connection.outbox
        self._outbox.share(self._lock)
        # A descriptor of its own: the loop closes the other one when it likes, and its number is then another file's.
        self._fd = os.dup(self._outbox.fd) if self._outbox.fd >= 0 else -1
        self._result_log = result_log
        # Where only the loop can write, each leaves alone.
        self._leave_together = result_log is not None and self._fd >= 0
        self._unsent: list[bytes] = []
        self._since = 0.0
        self._draining: Future[None] | None = None

    def close(self) -> None:
        """Stop the thread, if it still computes, from writing more."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1

    def forget(self) -> None:
        """Clear the log: the peer has ended the channel, and wants no result."""
        if self._result_log:
            self._result_log.clear()

    async def send(self, call_id: int, ok: bool, value: Any, name: str = "") -> None:
        """Send a result from the event loop, see `send_now`; ignore a caller that is gone."""
        await self._send_or_error(call_id, ok, value, name, is_logged=False)

    def post_revoked(self, call_id: int) -> None:
        """Answer at once that a call is revoked: if this process dies of a later one, this one had not begun."""
        error = encode_error(asyncio.CancelledError("it has not begun")) | {"type": REVOKED}
        body, _ = codec.encode_result(call_id, False, error)
        self._log(call_id, body, ())
        self._server.connection.post_frame(FrameType.RESULT, body)

    async def _send_or_error(self, call_id: int, ok: bool | None, value: Any, name: str, *, is_logged: bool) -> None:
        try:
            try:
                await self._send(call_id, ok, value, is_logged=is_logged)
            except EncodeError as error:
                await self._send(call_id, False, encode_error(_of_result(error, name)), is_logged=False)
        except ParcsError:
            pass

    async def _send(self, call_id: int, ok: bool | None, value: Any, *, is_logged: bool) -> None:
        body, buffers = codec.encode_result(call_id, ok, value, self._server.connection.extensions)
        if not is_logged:
            self._log(call_id, body, buffers)
        await self._server.connection.sender.send(FrameType.RESULT, body, buffers)

    def _log(self, call_id: int, body: bytes, buffers: tuple[Any, ...]) -> None:
        """Write a result that leaves alone to the log: itself if it is small, else that it was made."""
        if self._result_log:
            if len(body) >= _SMALL or buffers:
                body, _ = codec.encode_result(call_id, False, _ELSEWHERE)
            self._result_log.add(_HEADS[len(body)] + body, waits=False)

    def send_now(self, call_id: int, ok: bool, value: Any, name: str, *, last: bool) -> None:
        """
        Send a result from the thread; ignore a caller that is gone.

        Args:
            call_id: the call.
            ok: True with the returned value, False with an error map.
            value: the one or the other.
            name: the function's name, for the error of a value that can't be sent.
            last: True when nothing else is about to be answered.
        """
        try:
            body, buffers = codec.encode_result(call_id, ok, value, self._server.connection.extensions)
            size = len(body)
            if size >= _SMALL or buffers:
                self._check_size(size, sum(map(len, buffers)))
        except EncodeError as error:
            ok, value = False, encode_error(_of_result(error, name))
            body, buffers = codec.encode_result(call_id, ok, value, self._server.connection.extensions)
            size = len(body)
        if size < _SMALL and not buffers and self._leave_together:
            frame = _HEADS[size] + body
            with self._lock:
                assert self._result_log
                if self._result_log.add(frame, waits=True):
                    self._postpone(frame, last)
                    return
        self._log(call_id, body, buffers)
        self._send_alone(call_id, ok, value, name, body, buffers)

    def send_item(self, call_id: int, value: Any, name: str, on_size: Callable[[int], object]) -> None:
        """
        Send an item of a stream of that function from the thread; ignore a caller that is gone.

        Args:
            call_id: the stream's call.
            value: the item.
            name: the function's name, for the error of an item that can't be sent.
            on_size: called with its size before it is sent: once it is, the caller may have taken it at any time.

        Raises:
            EncodeError: it can't be sent.
        """
        body, buffers = self._encode_item(call_id, value, name)
        on_size(len(body) + sum(map(len, buffers)))
        self._send_alone(call_id, None, value, "", body, buffers)

    async def send_item_soon(self, call_id: int, value: Any, name: str, on_size: Callable[[int], object]) -> None:
        """Send an item of a stream from the event loop; see `send_item`."""
        body, buffers = self._encode_item(call_id, value, name)
        on_size(len(body) + sum(map(len, buffers)))
        try:
            await self._server.connection.sender.send(FrameType.RESULT, body, buffers)
        except ParcsError:
            pass

    def _encode_item(self, call_id: int, value: Any, name: str) -> tuple[bytes, tuple[Any, ...]]:
        try:
            body, buffers = codec.encode_result(call_id, None, value, self._server.connection.extensions)
            self._check_size(len(body), sum(map(len, buffers)))
        except EncodeError as error:
            raise _of_result(error, name, "an item") from None
        return body, buffers

    def _postpone(self, frame: bytes, last: bool) -> None:
        """Add a result to those that wait to be sent together, unless there is a reason to send it now."""
        unsent, now = self._unsent, monotonic()
        unsent.append(frame)
        if len(unsent) == 1:
            self._since = now
        if last or len(unsent) >= _TOGETHER or now - self._since > _PATIENCE:
            self._flush()

    @property
    def are_waiting(self) -> bool:
        """True when some wait for others to leave with."""
        return bool(self._unsent)

    def flush(self) -> None:
        """Send what has waited for others to leave with."""
        if self._unsent:
            with self._lock:
                self._flush()

    def _flush(self) -> None:
        if not self._unsent or self._fd < 0:
            return
        if self._outbox.empty:
            self._write(b"".join(self._unsent), len(self._unsent))
            self._unsent.clear()
            if self._result_log:
                self._result_log.mark_sent()
        elif self._draining is None:
            self._draining = asyncio.run_coroutine_threadsafe(self._flush_behind(), self._loop)

    async def _flush_behind(self) -> None:
        """Send the waiting results, after the bytes that the loop has not written yet."""
        await self._outbox.drain()
        self._draining = None
        self.flush()

    def _send_alone(
        self, call_id: int, ok: bool | None, value: Any, name: str, body: bytes, buffers: tuple[Any, ...]
    ) -> None:
        with self._lock:
            self._flush()
            # What is sent by reference is with the peer only once it has mapped it, which the loop hears of.
            is_lent = bool(buffers) and self._outbox.loans.any_in(buffers)
            if self._fd >= 0 and self._outbox.empty and not self._unsent and not is_lent:
                for count, piece in enumerate(wire.encode_frame(FrameType.RESULT, body, buffers)):
                    self._write(piece, not count)
                return
        asyncio.run_coroutine_threadsafe(self._deliver(call_id, ok, value, name), self._loop).result()

    def _write(self, piece: Any, frames: int) -> None:
        """Write all of it, however long the peer takes to read: half a frame would end the channel."""
        self._outbox.count(frames, len(piece))
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
            pass  # the connection is lost; the loop meets the same error, and reports it

    async def _deliver(self, call_id: int, ok: bool | None, value: Any, name: str) -> None:
        """Send a result after the unwritten bytes of the loop, or where only the loop can write; it is in the log."""
        await self._outbox.drain()
        self.flush()
        await self._send_or_error(call_id, ok, value, name, is_logged=True)
        await self._outbox.drain()


def _of_result(error: EncodeError, name: str, what: str = "the result") -> EncodeError:
    """Return what a caller is to know of a result that can't be sent: its place in the result, without our frames."""
    place = error.place.removeprefix("$").removeprefix("[2]")
    kind = what.partition(" ")[2]
    return EncodeError(f"{what} of {name} can't be sent", f"{kind}{place}: {error.reason}" if place else error.reason)
