"""The two-way ordered message stream between two programs, and the handshake that opens it."""

from aioparcs.channel.calls import (
    CONCURRENCY,
    LIMITED,
    MEMORY,
    NO_FUNCTION,
    ONE_READER,
    REVOKED,
    STREAM,
    TRACING,
    VERSION,
    Call,
    CallServer,
    CallStream,
    ResultLog,
    ResultWriter,
    read_results,
    read_unsent,
)
from aioparcs.channel.channel import Channel, Statistics
from aioparcs.channel.connection import FrameConnection
from aioparcs.channel.control import CONTROL_BODY, control_link
from aioparcs.channel.error_codec import LimitPassed, decode_error_or_default, encode_error, encode_timeout
from aioparcs.channel.handshake import (
    Acceptor,
    Connection,
    accept,
    accept_v1,
    introduce,
    introduce_now,
    introduce_v1,
    reach,
    reach_now,
)
from aioparcs.channel.relay_buffer import RELAYS, RelayBuffer, fetch, serve_relay
from aioparcs.channel.relay_message import RelayMessage

__all__ = [
    "CONCURRENCY",
    "CONTROL_BODY",
    "LIMITED",
    "MEMORY",
    "NO_FUNCTION",
    "ONE_READER",
    "RELAYS",
    "REVOKED",
    "STREAM",
    "TRACING",
    "VERSION",
    "Acceptor",
    "Call",
    "CallServer",
    "CallStream",
    "Channel",
    "Connection",
    "FrameConnection",
    "LimitPassed",
    "RelayBuffer",
    "RelayMessage",
    "ResultLog",
    "ResultWriter",
    "Statistics",
    "accept",
    "accept_v1",
    "control_link",
    "decode_error_or_default",
    "encode_error",
    "encode_timeout",
    "fetch",
    "introduce",
    "introduce_now",
    "introduce_v1",
    "reach",
    "reach_now",
    "read_results",
    "read_unsent",
    "serve_relay",
]
