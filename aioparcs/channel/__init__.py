"""The two-way ordered message stream between two programs, and the handshake that opens it."""

from aioparcs.channel.answers import Answers
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
from aioparcs.channel.calls import CONCURRENCY, NO_FUNCTION, RECALLED, Call
from aioparcs.channel.channel import Channel, Statistics
from aioparcs.channel.dialling import Connection, reach, reach_now
from aioparcs.channel.diary import Diary
from aioparcs.channel.failure import error_map, error_of
from aioparcs.channel.handshake import accept, accept_v1, introduce, introduce_now, introduce_v1
from aioparcs.channel.link import Link
from aioparcs.channel.reception import Reception
from aioparcs.channel.relayed import Relayed
from aioparcs.channel.results import read_results
from aioparcs.channel.streams import STREAMS, Stream, fetch, pass_on

__all__ = [
    "CONCURRENCY",
    "CONTROL_BODY",
    "COUNT",
    "NO_FUNCTION",
    "RECALLED",
    "STREAMS",
    "Answers",
    "Body",
    "Call",
    "Channel",
    "Connection",
    "Diary",
    "Link",
    "Reception",
    "Relayed",
    "Statistics",
    "Stream",
    "accept",
    "accept_v1",
    "control_link",
    "describe",
    "error_map",
    "error_of",
    "fetch",
    "instance",
    "integer",
    "introduce",
    "introduce_now",
    "introduce_v1",
    "list_of",
    "number",
    "optional",
    "pass_on",
    "reach",
    "reach_now",
    "read_body",
    "read_results",
    "record",
]
