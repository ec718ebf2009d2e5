"""
The bodies of control frames: the frames that a side accepts, and the values in them.

A program that has the job's token may send anything. A side that names the frames that it accepts, and reads them with
`read_body`, deals with values of the right types and bounds only; all else is a `ProtocolError`, which costs its
sender this one connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from aioparcs import codec
from aioparcs.channel.connection import FrameConnection
from aioparcs.errors import DecodeError, ProtocolError
from aioparcs.settings import KIB, MIB, Settings
from aioparcs.wire import Frame, FrameType

__all__ = [
    "CONTROL_BODY",
    "COUNT",
    "Body",
    "Check",
    "control_link",
    "describe",
    "instance",
    "integer",
    "list_of",
    "number",
    "optional",
    "read_body",
    "record",
]

# Bytes that a frame's body may have on a control connection.
CONTROL_BODY = 1 * MIB
# Bytes that wait unread on a control connection: they hold small frames, each of which costs more than its bytes.
_RECEIVE_QUEUE = 256 * KIB
# Characters of a text that an error quotes.
_SHORT = 60

Check = Callable[[Any], bool]


class Body(NamedTuple):
    """
    The values of a frame's body, a list.

    Attributes:
        checks: what each value has to be; none at all for an empty body.
        least: how many of the values there must be; the others may be missing.
    """

    checks: tuple[Check, ...]
    least: int

    @classmethod
    def of(cls, *checks: Check, least: int | None = None) -> Body:
        """Return the body that has all these values, or at least the first of them."""
        return cls(checks, len(checks) if least is None else least)


def control_link(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, settings: Settings) -> FrameConnection:
    """Open a control connection, which carries small frames only."""
    limits = {"max_body": CONTROL_BODY, "receive_queue": _RECEIVE_QUEUE}
    lower = {name: min(limit, getattr(settings, name)) for name, limit in limits.items()}
    connection = FrameConnection(reader, writer, settings=settings._replace(**lower))
    connection.start()
    return connection


def read_body(frame: Frame, bodies: Mapping[FrameType, Body]) -> list[Any]:
    """
    Return the values that a frame holds.

    Args:
        frame: the frame.
        bodies: the frames that may come, by their types.

    Raises:
        ProtocolError: the frame has no place here, or its body is not what it should be.
    """
    kind = FrameType(frame.type)
    name, body = kind.name, bodies.get(kind)
    if body is None:
        raise ProtocolError(f"a {name} frame is not allowed on this control connection")
    if not body.checks and not len(frame.body):
        return []
    try:
        values = codec.decode(frame.body)
    except DecodeError as error:
        raise ProtocolError(f"the body of a {name} frame cannot be decoded") from error
    if type(values) is not list or not body.least <= len(values) <= len(body.checks):
        raise ProtocolError(f"the body of a {name} frame is {describe(values)} instead of its {body.least} values")
    for number, (check, value) in enumerate(zip(body.checks, values, strict=False), start=1):
        if not check(value):
            raise ProtocolError(f"value {number} of a {name} frame cannot be {describe(value)}")
    return values


def integer(low: int, high: int) -> Check:
    """Accept the integers of a range, its ends included; a boolean is none."""
    return lambda value: type(value) is int and low <= value <= high


def instance(*types: type) -> Check:
    """Accept values of exactly these types."""
    return lambda value: type(value) in types


def optional(check: Check) -> Check:
    """Accept None, and all that another check accepts."""
    return lambda value: value is None or check(value)


def list_of(check: Check) -> Check:
    """Accept lists, of any length, of what a check accepts."""
    return lambda value: type(value) is list and all(map(check, value))


def record(*checks: Check) -> Check:
    """Accept lists of so many values, each of which its own check accepts."""

    def accepts(value: Any) -> bool:
        if type(value) is not list or len(value) != len(checks):
            return False
        return all(check(one) for check, one in zip(checks, value, strict=True))

    return accepts


def number(value: Any) -> bool:
    """Accept floats, and integers of 64 bits; a boolean is neither."""
    return type(value) is float or _fits(value)


_fits = integer(-1 << 63, (1 << 63) - 1)
# The number of a worker, a process or a request.
COUNT = integer(0, (1 << 63) - 1)


def describe(value: Any) -> str:
    """Return the text of a value for people: a peer chose it, so it may be of any size and say anything."""
    short = (type(value) in (int, float) and abs(value) < 1e300) or (type(value) is str and len(value) <= _SHORT)
    if short or value is None or type(value) is bool:
        return repr(value)
    size = f" of {len(value):,}" if type(value) in (list, dict, str, bytes) else ""
    return f"a {type(value).__name__}{size}"
