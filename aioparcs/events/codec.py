"""
The JSON of events: one line for each.

``{"v": 1, "kind": "WorkerConnected", "time": 1.5, "module": "factor", "worker": 3}``: the fields of the record, by
their names. Ranges are lists of two numbers. Records of numbers and texts that are many, such as spans, are an object
with a list for each field; older versions have written a list of objects, which is how unusual ones are written.
Readers ignore kinds and versions that they don't know, and more fields.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from aioparcs.events.event import Event
from aioparcs.events.flat import FlatRecord

__all__ = ["from_json", "to_json"]

_VERSION = 1
_KINDS: dict[str, Callable[..., Event]] = {kind.__name__: kind for kind in get_args(Event)}
_LARGEST = 1 << 53  # larger numbers are not whole in every reader of JSON
_MOST = 100_000  # numbers of a range, which readers go through one by one
# Characters of JSON that one event may have.
_LONGEST = 1 << 20


def to_json(event: Event) -> str:
    """Return the line of an event, without its end. Numbers that JSON may not have, such as NaN, become null."""
    kind: Any = type(event)
    values = {name: _plain(getattr(event, name)) for name in _fields(kind)}
    line = {"v": _VERSION, "kind": kind.__name__, **values}
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def from_json(line: str) -> Event | None:
    """Return the event of a line; None for anything else, such as an event of another version."""
    try:
        values = json.loads(line) if len(line) <= _LONGEST else None
        if type(values) is not dict or type(values.get("v")) is not int or values["v"] != _VERSION:
            return None
        kind = _KINDS[values["kind"]]
        values = {**_defaults(kind), **values}  # of an older version, which had fewer fields
        return kind(*(_typed(field, values[name]) for name, field in _fields(kind).items()))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


@cache
def _fields(kind: Any) -> dict[str, Any]:
    """Return the types of a record's fields, in their order."""
    return get_type_hints(kind)


@cache
def _defaults(kind: Any) -> dict[str, Any]:
    """Return the defaults of an event's fields, as JSON has them."""
    return {name: _plain(default) for name, default in kind._field_defaults.items()}


@cache
def _flat(kind: Any) -> FlatRecord:
    return FlatRecord(kind, _LARGEST)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    kind = type(value)  # most are of these types, and looking at more takes longer than writing them
    if kind is str or kind is bool or value is None:
        return value
    if kind is int or kind is float:
        return value if abs(value) <= _LARGEST else None  # a NaN is no less either
    if isinstance(value, range):
        return [value.start, value.stop]
    if isinstance(value, tuple):
        names = getattr(value, "_fields", None)
        if names:
            return dict(zip(names, map(_plain, value), strict=True))
        return _columns(value) or [_plain(one) for one in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value if abs(value) <= _LARGEST else None  # a NaN is no less either
    return value


def _columns(records: tuple[Any, ...]) -> dict[str, Any] | None:
    """Return records by field; None unless all of them are of one flat kind."""
    kinds = set(map(type, records))
    if len(kinds) != 1 or not hasattr(kind := kinds.pop(), "_fields"):
        return None
    flat = _flat(kind)
    return flat.columns(records) if flat.is_flat else None


def _typed(kind: Any, value: Any) -> Any:
    """
    Return a value of JSON as a field's type has it.

    Raises:
        ValueError, TypeError, KeyError: it is none.
    """
    if check := _CHECKS.get(kind):
        return check(value)
    if isinstance(kind, UnionType):
        (other,) = (one for one in get_args(kind) if one is not NoneType)
        return None if value is None else _typed(other, value)
    if hasattr(kind, "_fields"):
        values = {**kind._field_defaults, **_checked(dict, value)}  # of an older version, which had fewer fields
        return kind(*(_typed(field, values[name]) for name, field in _fields(kind).items()))
    if get_origin(kind) is tuple:
        return _tuple(get_args(kind), value)
    if get_origin(kind) is dict:
        key, item = get_args(kind)
        return {_typed(key, name): _typed(item, one) for name, one in _checked(dict, value).items()}
    if kind is range:
        first, end = (_typed(int, one) for one in value)
        if end - first > _MOST:
            raise ValueError(value)
        return range(first, end)
    return _checked(kind, value)


def _tuple(kinds: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if type(value) is dict and hasattr(kinds[0], "_fields"):
        if (records := _flat(kinds[0]).records(value)) is not None:
            return records
        value = [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    values = _checked(list, value)
    if kinds[-1] is Ellipsis:
        return tuple(_typed(kinds[0], value) for value in values)
    return tuple(_typed(kind, value) for kind, value in zip(kinds, values, strict=True))


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= _LARGEST:
        raise ValueError(value)
    return float(value)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise ValueError(value)
    return value


def _checked(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(value)
    return value


# A recording has millions of these.
_CHECKS: dict[Any, Callable[[Any], Any]] = {
    bool: partial(_checked, bool),
    float: _number,
    int: _count,
    str: partial(_checked, str),
}
