"""Calls of functions over one connection, both ways."""

from aioparcs.channel.calls.client import CallClient, OutgoingCall
from aioparcs.channel.calls.result_log import ResultLog
from aioparcs.channel.calls.result_writer import ResultWriter
from aioparcs.channel.calls.results import read_results, read_unsent
from aioparcs.channel.calls.server import (
    CONCURRENCY,
    LIMITED,
    MEMORY,
    NO_FUNCTION,
    REVOKED,
    STREAM,
    TRACING,
    VERSION,
    Call,
    CallServer,
)
from aioparcs.channel.calls.streams import ONE_READER, CallStream

__all__ = [
    "CONCURRENCY",
    "LIMITED",
    "MEMORY",
    "NO_FUNCTION",
    "ONE_READER",
    "REVOKED",
    "STREAM",
    "TRACING",
    "VERSION",
    "Call",
    "CallClient",
    "CallServer",
    "CallStream",
    "OutgoingCall",
    "ResultLog",
    "ResultWriter",
    "read_results",
    "read_unsent",
]
