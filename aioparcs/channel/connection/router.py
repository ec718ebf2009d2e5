"""The routing table of a connection: which part of a channel handles which type of frame."""

from __future__ import annotations

from collections.abc import Callable

from aioparcs.channel.connection.inbox import Inbox
from aioparcs.wire import Frame

__all__ = ["FrameRouter"]

FrameHandler = Callable[[Frame], object]


class FrameRouter:
    """
    The handlers of frames, by type. A frame that has none is the receiver's.

    Args:
        inbox: where the frames of the receiver wait.

    Attributes:
        handle_small_results: called with the bodies of small RESULT frames, those of one chunk together.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._handlers: dict[int, FrameHandler] = {}
        self.handle_small_results: Callable[[list[bytes]], object] = lambda _bodies: None

    def add(self, type: int, handler: FrameHandler) -> None:
        """Route a type of frames to a handler, which returns False to leave a frame to the receiver."""
        self._handlers[type] = handler

    def route(self, frame: Frame) -> bool:
        """Pass a frame to its handler; return False to leave it to the receiver."""
        handler = self._handlers.get(frame.type)
        if handler is None and self._inbox.end is None:
            return False
        # A frame without a handler that comes after the end has no receiver.
        if handler is None or handler(frame) is not False:
            self._inbox.consumed(frame)
            return True
        return False
