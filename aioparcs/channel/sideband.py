"""The sideband of a channel: barriers, and the control of relayed messages."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aioparcs import codec
from aioparcs.channel.calls import Calls
from aioparcs.channel.error_codec import decode_error
from aioparcs.channel.relay_message import RelayMessage
from aioparcs.errors import DecodeError, ProtocolError
from aioparcs.wire import Frame, FrameType

__all__ = ["Sideband"]

# What is kept of a peer that goes on alone: errors of barriers, their bytes, and what is said of a relayed message.
_MOST_BROKEN, _LONGEST_ERROR, _MOST_NEWS = 16, 1 << 20, 1000
_NO_ERROR = b"\xc0"  # MessagePack's None, of which `decode_error` makes an error without details


class Sideband(Calls):
    """
    A link that also carries frames outside the order of messages.

    Attributes:
        relays: whether the peer takes messages that come another way, and passes them on.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._barriers = self._own_barriers = 0  # that the peer has come to, and that this side has
        self._broken: dict[int, bytes] = {}  # errors of barriers that no worker will pass
        self._news: dict[bytes, deque[list[Any]]] = {}
        self._begin: Callable[[RelayMessage], object] | None = None
        self.relays = False
        self._begun: list[RelayMessage] = []  # before `take_relayed` was called
        super().__init__(*args, **kwargs)

    async def barrier(self) -> None:
        """
        Report to the peer that this side is at a barrier, and wait until the peer lets it pass.

        Messages that arrive meanwhile are kept, however many. Cancelling it while it waits to pass doesn't take back
        that this side has come: the next barrier is the next one.

        Raises:
            RemoteError: another worker that the peer waits for will never come.
            EndOfChannel, ConnectionLost, ChannelClosed: see `recv`.
        """
        self._check_asides()
        await self.send_frame(FrameType.BARRIER)
        self._own_barriers += 1
        await self.wait_barrier(self._own_barriers)

    async def wait_barrier(self, number: int) -> None:
        """
        Wait until the peer has come to its barrier of some number, counted from 1, or lets this side pass that one.

        Cancelling it changes nothing. It raises what `barrier` raises.
        """
        self._check_asides()
        await self._wait_aside(lambda: self._barriers >= number)
        body = self._broken.pop(number, None)
        if body is not None:
            raise decode_error(codec.decode(body))

    # Messages that come another way

    def take_relayed(self, begin: Callable[[RelayMessage], object]) -> None:
        """Call ``begin`` with each relayed message, as soon as the peer announces it."""
        self._begin = begin
        for relayed in self._begun:
            begin(relayed)
        self._begun.clear()

    def refuse_relayed(self) -> None:
        """Refuse relayed messages as an error: this side has no way to fetch them."""
        self.take_relayed(_refuse)

    def tell(self, name: bytes, verb: str, *values: Any) -> None:
        """Send the peer a notice about a relayed message, without waiting for room."""
        self.post_frame(FrameType.RELAY, codec.encode_inline([name, verb, *values])[0])

    @contextmanager
    def hearing(self, name: bytes) -> Iterator[None]:
        """Keep the peer's notices about a relayed message for `hear`; all others are dropped."""
        self._news.setdefault(name, deque())
        try:
            yield
        finally:
            del self._news[name]

    async def hear(self, name: bytes) -> tuple[str, Any]:
        """
        Wait for the peer's next notice about a relayed message: a verb, and a value if there is one.

        Cancelling it changes nothing.

        Raises:
            EndOfChannel, RemoteError, ConnectionLost, ChannelClosed: see `recv`.
        """
        news = self._news[name]
        await self._wait_aside(lambda: news)
        verb, *values = news.popleft()
        return str(verb), values[0] if values else None

    # Inside

    def _check_asides(self) -> None:
        if self._version == 1:
            raise ProtocolError("the original wire has no barriers")

    async def _wait_aside(self, is_there: Callable[[], object]) -> None:
        """Wait for what the peer sends outside the order of messages, however many of those are in line before it."""
        changed = asyncio.Event()
        unwatch = self._inbox.watch(changed.set)
        self._inbox.read_on(1)
        try:
            while not is_there():
                self._check_receiving()
                changed.clear()
                await changed.wait()
        finally:
            self._inbox.read_on(-1)
            unwatch()

    def _take(self, frame: Frame) -> bool:
        if frame.type == FrameType.BARRIER:
            self._take_barrier(frame)
        elif frame.type == FrameType.RELAY:
            if not self._take_relay(frame):
                return False
        else:
            return super()._take(frame)
        self._inbox.consumed(frame)
        return True

    def _take_barrier(self, frame: Frame) -> None:
        self._barriers += 1
        size = len(frame.body)  # an array has no truth value
        if size:
            self._broken[self._barriers] = bytes(frame.body) if size <= _LONGEST_ERROR else _NO_ERROR
        if len(self._broken) > _MOST_BROKEN:
            self._fail(ProtocolError(f"the peer has broken {_MOST_BROKEN} barriers that this side has not reached"))

    def _take_relay(self, frame: Frame) -> bool:
        """Handle a frame about a relayed message; return False for the message itself, which has its place in line."""
        try:
            name, verb, *values = codec.decode(frame.body)
            if verb == "message":
                relayed = RelayMessage(self._inbox, frame, name, *values)
                self._news[name] = deque()  # now: what belongs to it may be right behind
                (self._begin or self._begun.append)(relayed)
                return False
            news = self._news.get(name)
            if news is not None:
                news.append([verb, *values])
                if len(news) > _MOST_NEWS:
                    raise ValueError(f"more than {_MOST_NEWS} about one message")
        except (DecodeError, TypeError, ValueError) as error:
            self._fail(ProtocolError(f"a RELAY frame that can't be read: {error}"))
        return True


def _refuse(_relayed: RelayMessage) -> None:
    raise ValueError("this side does not take messages that others pass on")
