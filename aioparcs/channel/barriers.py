"""Barriers over one connection: points that both sides reach before either goes on."""

from __future__ import annotations

from aioparcs import codec
from aioparcs.channel.connection import FrameConnection
from aioparcs.channel.error_codec import decode_error, encode_error
from aioparcs.errors import ParcsError, ProtocolError
from aioparcs.wire import Frame, FrameType

__all__ = ["Barriers"]

# What is kept of a peer that goes on alone: errors of barriers, and their bytes.
_MOST_BROKEN, _LONGEST_ERROR = 16, 1 << 20
_NO_ERROR = b"\xc0"  # MessagePack's None, of which `decode_error` makes an error without details


class Barriers:
    """
    The barriers of one channel. A worker enters them; the program that started it waits for it, and releases it.

    Args:
        connection: what they travel over.
    """

    def __init__(self, connection: FrameConnection) -> None:
        self._connection = connection
        self._reached_by_peer = 0
        self._entered = 0
        self._released = 0
        self._broken: dict[int, bytes] = {}  # errors of barriers that no worker will pass
        connection.add_handler(FrameType.BARRIER, self._handle)

    async def enter(self) -> None:
        """
        Report to the peer that this side is at a barrier, and wait until the peer lets it pass.

        Messages that arrive meanwhile are kept, however many. Cancelling it while it waits to pass doesn't take back
        that this side has come: the next barrier is the next one.

        Raises:
            RemoteError: another worker that the peer waits for will never come.
            EndOfChannel, ConnectionLost, ChannelClosed: see `Channel.recv`.
        """
        self._check_version()
        await self._connection.send_frame(FrameType.BARRIER)
        self._entered += 1
        await self._wait(self._entered)

    async def wait(self) -> None:
        """
        Wait until the peer is at a barrier that it was not released from.

        Cancelling it changes nothing. It raises what `enter` raises.
        """
        self._check_version()
        await self._wait(self._released + 1)

    def release(self, broken: ParcsError | None = None) -> None:
        """Release the peer from its next barrier, now or when it comes; or raise an error in it there."""
        self._released += 1
        if self._connection.version > 1:
            body = codec.encode_inline(encode_error(broken))[0] if broken else b""
            self._connection.post_frame(FrameType.BARRIER, body)

    async def _wait(self, number: int) -> None:
        """Wait until the peer has reached the barrier of this number, or releases this side from it."""
        await self._connection.wait_beside(lambda: self._reached_by_peer >= number)
        body = self._broken.pop(number, None)
        if body is not None:
            raise decode_error(codec.decode(body))

    def _check_version(self) -> None:
        if self._connection.version == 1:
            raise ProtocolError("the original wire has no barriers")

    def _handle(self, frame: Frame) -> None:
        self._reached_by_peer += 1
        size = len(frame.body)  # an array has no truth value
        if size:
            self._broken[self._reached_by_peer] = bytes(frame.body) if size <= _LONGEST_ERROR else _NO_ERROR
        if len(self._broken) > _MOST_BROKEN:
            error = f"the peer has broken {_MOST_BROKEN} barriers that this side has not reached"
            self._connection.fail(ProtocolError(error))
