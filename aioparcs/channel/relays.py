"""The control of relayed messages: their announcements, and the notices about them, beside a channel's messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aioparcs import codec
from aioparcs.channel.connection import FrameConnection
from aioparcs.channel.relay_message import RelayMessage
from aioparcs.errors import DecodeError, ProtocolError
from aioparcs.wire import Frame, FrameType

__all__ = ["RelayControl"]

_MOST_NOTICES = 1000  # that are kept of what a peer sends about one message


class RelayControl:
    """
    The announcements of relayed messages on one channel, and the notices about them.

    Args:
        connection: what it travels over.

    Attributes:
        is_supported: whether the peer takes messages that come another way, and passes them on.
    """

    def __init__(self, connection: FrameConnection) -> None:
        self._connection = connection
        self.is_supported = False
        self._notices: dict[bytes, deque[list[Any]]] = {}
        self._receiver: Callable[[RelayMessage], object] | None = None
        self._announced: list[RelayMessage] = []  # before there was a receiver
        connection.add_handler(FrameType.RELAY, self._handle)

    def set_receiver(self, receiver: Callable[[RelayMessage], object]) -> None:
        """Call ``receiver`` with each relayed message, as soon as the peer announces it."""
        self._receiver = receiver
        for relayed in self._announced:
            receiver(relayed)
        self._announced.clear()

    def refuse(self) -> None:
        """Refuse relayed messages as an error: this side has no way to fetch them."""
        self.set_receiver(_refuse)

    def notify(self, name: bytes, verb: str, *values: Any) -> None:
        """Send the peer a notice about a relayed message, without waiting for room."""
        self._connection.post_frame(FrameType.RELAY, codec.encode_inline([name, verb, *values])[0])

    @contextmanager
    def subscription(self, name: bytes) -> Iterator[None]:
        """Keep the peer's notices about a relayed message for `recv_notice`; all others are dropped."""
        self._notices.setdefault(name, deque())
        try:
            yield
        finally:
            del self._notices[name]

    async def recv_notice(self, name: bytes) -> tuple[str, Any]:
        """
        Wait for the peer's next notice about a relayed message: a verb, and a value if there is one.

        Cancelling it changes nothing.

        Raises:
            EndOfChannel, RemoteError, ConnectionLost, ChannelClosed: see `Channel.recv`.
        """
        notices = self._notices[name]
        await self._connection.wait_beside(lambda: notices)
        verb, *values = notices.popleft()
        return str(verb), values[0] if values else None

    def _handle(self, frame: Frame) -> bool:
        """Handle a frame about a relayed message; return False for the message itself, which has its place in line."""
        try:
            name, verb, *values = codec.decode(frame.body)
            if verb == "message":
                relayed = RelayMessage(self._connection.inbox, frame, name, *values)
                self._notices[name] = deque()  # now: what belongs to it may be right behind
                (self._receiver or self._announced.append)(relayed)
                return False
            self._add_notice(name, [verb, *values])
        except (DecodeError, TypeError, ValueError) as error:
            self._connection.fail(ProtocolError(f"a RELAY frame that can't be read: {error}"))
        return True

    def _add_notice(self, name: bytes, notice: list[Any]) -> None:
        notices = self._notices.get(name)
        if notices is not None:
            notices.append(notice)
            if len(notices) > _MOST_NOTICES:
                raise ValueError(f"more than {_MOST_NOTICES} notices about one message")


def _refuse(_relayed: RelayMessage) -> None:
    raise ValueError("this side does not take messages that others pass on")
