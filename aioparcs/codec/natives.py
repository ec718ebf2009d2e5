"""
Python's own types: what each travels as, and how it is made again.

Each has a kind, its plain value, which is all that a reader in another language needs, and perhaps details.
`decimal` and `uuid` are imported only where a value of theirs arrives: a program that sends one has imported them.
"""

from __future__ import annotations

import os
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any, NamedTuple

from aioparcs.codec.moments import moment_from, moment_parts, time_from, time_parts
from aioparcs.errors import DecodeError, EncodeError

__all__ = ["SETS", "Form", "check_hashes", "form_of", "make"]

# Keys of one map, or members of one set, that may have one hash: looking one up takes time by their number.
_MOST_ALIKE = 64
# What a defaultdict may make: a function can't travel, but these are everywhere.
_FACTORIES: dict[str, Callable[[], Any]] = {
    kind.__name__: kind for kind in (bool, bytes, complex, dict, float, frozenset, int, list, set, str, tuple)
}


SETS = frozenset({"set", "frozenset"})
"""The kinds whose members are in no order."""


class Form(NamedTuple):
    """What a type travels as: the name of its kind, and a function that returns the plain value and details."""

    kind: str
    take_apart: Callable[[Any], list[Any]]


def form_of(kind: type) -> Form | None:
    """Return the form of a type, exactly that one; None if it has none."""
    form = _FORMS.get(kind)
    if form is None and (form := _ELSEWHERE.get((kind.__module__, kind.__qualname__))):
        _FORMS[kind] = form
    return form


def make(kind: Any, value: Any, details: list[Any]) -> Any:
    """
    Return the value of a kind.

    Raises:
        DecodeError: the kind is unknown, or the value is none of it.
    """
    maker = _MAKERS.get(kind) if type(kind) is str else None
    if maker is None:
        raise DecodeError("a value of a kind that is unknown here: the peer's aioparcs is newer")
    try:
        return maker(value, *details)
    except Exception as error:
        raise DecodeError(f"a {kind} that cannot be decoded: {type(error).__name__}: {error}") from error


def check_hashes(keys: Iterable[Any], count: int) -> None:
    """
    Raise DecodeError for keys that are chosen to have one hash.

    A map of many such takes time by the square of their number.
    """
    if count > _MOST_ALIKE and max(Counter(map(hash, keys)).values()) > _MOST_ALIKE:
        raise DecodeError(f"more than {_MOST_ALIKE} keys of a map have the same hash")


def _members(values: list[Any]) -> list[Any]:
    if type(values) is not list:
        raise TypeError("its members are a list")
    check_hashes(values, len(values))
    return values


def _path_parts(path: Any) -> list[Any]:
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:  # a name of odd bytes
        return [text.encode("utf-8", "surrogateescape"), type(path).__name__]
    return [text, type(path).__name__]


def _path(text: Any, name: Any) -> Any:
    return _PATHS[name](text.decode("utf-8", "surrogateescape") if type(text) is bytes else text)


def _factory_parts(value: defaultdict[Any, Any]) -> list[Any]:
    factory: Any = value.default_factory
    if factory is None:
        return [dict(value)]
    name = getattr(factory, "__name__", "")
    if _FACTORIES.get(name) is not factory:
        raise EncodeError("", f"a defaultdict of {factory!r}, which cannot be sent; send dict(value)")
    return [dict(value), name]


def _mapping(values: Any) -> dict[Any, Any]:
    if type(values) is not dict:
        raise TypeError("its items are a map")
    return values


def _default(values: Any, factory: Any = "") -> defaultdict[Any, Any]:
    return defaultdict(_FACTORIES[factory] if factory else None, _mapping(values))


def _complex(parts: Any) -> complex:
    real, imaginary = parts
    if type(real) is not float or type(imaginary) is not float:
        raise TypeError("its parts are two floats")
    return complex(real, imaginary)


def _text_of(value: Any) -> list[Any]:
    return [str(value)]


def _decimal(text: Any) -> Any:
    from decimal import Decimal

    if type(text) is not str:
        raise TypeError("it is a text")
    return Decimal(text)


def _uuid(data: Any) -> Any:
    from uuid import UUID

    return UUID(bytes=data)


_FORMS: dict[type, Form] = {
    set: Form("set", lambda value: [list(value)]),
    frozenset: Form("frozenset", lambda value: [list(value)]),
    complex: Form("complex", lambda value: [[value.real, value.imag]]),
    datetime: Form("datetime", moment_parts),
    date: Form("date", lambda value: [value.isoformat()]),
    time: Form("time", time_parts),
    timedelta: Form("timedelta", lambda value: [[value.days, value.seconds, value.microseconds]]),
    OrderedDict: Form("OrderedDict", lambda value: [dict(value)]),
    Counter: Form("Counter", lambda value: [dict(value)]),
    defaultdict: Form("defaultdict", _factory_parts),
    **{kind: Form("path", _path_parts) for kind in (PosixPath, PurePosixPath, PureWindowsPath, WindowsPath)},
}
_ELSEWHERE = {
    ("decimal", "Decimal"): Form("Decimal", _text_of),
    ("uuid", "UUID"): Form("UUID", lambda value: [value.bytes]),
}
# A path of the other system has no methods that touch files.
_PATHS: dict[str, Any] = {
    "PurePosixPath": PurePosixPath,
    "PureWindowsPath": PureWindowsPath,
    "PosixPath": PosixPath if os.name == "posix" else PurePosixPath,
    "WindowsPath": WindowsPath if os.name == "nt" else PureWindowsPath,
}
_MAKERS: dict[str, Callable[..., Any]] = {
    "set": lambda values: set(_members(values)),
    "frozenset": lambda values: frozenset(_members(values)),
    "complex": _complex,
    "datetime": moment_from,
    "date": date.fromisoformat,
    "time": time_from,
    "timedelta": lambda parts: timedelta(*parts),
    "OrderedDict": lambda values: OrderedDict(_mapping(values)),
    "Counter": lambda values: Counter(_mapping(values)),
    "defaultdict": _default,
    "path": _path,
    "Decimal": _decimal,
    "UUID": _uuid,
}
