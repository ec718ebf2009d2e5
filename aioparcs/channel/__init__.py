"""The two-way ordered message stream between two programs, and the handshake that opens it."""

from aioparcs.channel.bodies import (
    CONTROL_BODY,
    COUNT,
    Body,
    control_link,
    describe,
    instance,
    integer,
    list_of,
    number,
    optional,
    read_body,
    record,
)
from aioparcs.channel.calls import CONCURRENCY, NO_FUNCTION, REVOKED, Call, ResultLog, ResultWriter, read_results
from aioparcs.channel.channel import Channel, Statistics
from aioparcs.channel.connection import FrameConnection
from aioparcs.channel.error_codec import decode_error_or_default, encode_error
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
    "COUNT",
    "NO_FUNCTION",
    "RELAYS",
    "REVOKED",
    "Acceptor",
    "Body",
    "Call",
    "Channel",
    "Connection",
    "FrameConnection",
    "RelayBuffer",
    "RelayMessage",
    "ResultLog",
    "ResultWriter",
    "Statistics",
    "accept",
    "accept_v1",
    "control_link",
    "decode_error_or_default",
    "describe",
    "encode_error",
    "fetch",
    "instance",
    "integer",
    "introduce",
    "introduce_now",
    "introduce_v1",
    "list_of",
    "number",
    "optional",
    "reach",
    "reach_now",
    "read_body",
    "read_results",
    "record",
    "serve_relay",
]
