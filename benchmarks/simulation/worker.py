"""The end of a channel of a worker that is no process: it answers within the transport's callback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgpack

from aioparcs import wire
from aioparcs.wire import Decoder, FrameSink, FrameType

__all__ = ["Worker"]

_PAYLOAD = bytes(1 << 20)


class Worker(asyncio.Protocol, FrameSink):
    """
    Answers messages and calls.

    Args:
        writer: a connection to the runner that is past its handshake.
        on_end: called when the runner has ended the channel, or is gone.

    A message comes back as it is, but for ``["return", size]``, which is answered by so many bytes, and ``"pause"``,
    after which nothing more is read. A call returns its first argument.
    """

    def __init__(self, writer: asyncio.StreamWriter, on_end: Callable[[], object]) -> None:
        self.transport: Any = writer.transport
        self._writer = writer  # when it is collected it closes the transport
        self._on_end = on_end
        self._decoder = Decoder(1 << 28, 1 << 28, version=2, sink=self)
        self._decoder.results = None
        self.transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        """Answer what has arrived."""
        self._decoder.feed(data)
        answers = b"".join(self._answer(wire.frame_of(item)) for item in self._decoder.frames)
        self._decoder.frames.clear()
        if answers:
            self.transport.write(answers)

    def connection_lost(self, error: Exception | None) -> None:
        """Report the end."""
        self._on_end()

    def _answer(self, frame: wire.Frame) -> bytes:
        body = bytes(frame.body)
        match frame.type:
            case FrameType.MSG:
                return self._answer_message(body)
            case FrameType.CALL:
                call_id, _, args, *_ = msgpack.unpackb(body)
                body = msgpack.packb([call_id, True, args[0] if args else None])
                return wire.encode_header(FrameType.RESULT, len(body)) + body
            case FrameType.PING:
                return wire.encode_header(FrameType.PONG, len(body)) + body
            case FrameType.BYE:
                self.transport.write(wire.encode_header(FrameType.BYE, 0))
                self.transport.close()
        return b""

    def _answer_message(self, body: bytes) -> bytes:
        match msgpack.unpackb(body):
            case "pause":
                self.transport.pause_reading()
                return b""
            case ["return", int(size)]:
                payload = memoryview(_PAYLOAD)[:size] if size <= len(_PAYLOAD) else memoryview(bytes(size))
                head, *buffers = wire.encode_frame(FrameType.RAW, b"", (payload,))
                self.transport.writelines([head, *buffers])
                return b""
        return wire.encode_header(FrameType.MSG, len(body)) + body
