"""The functions that take values of registered classes apart and make them again, where the program names none."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum, Flag
from functools import cached_property
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from aioparcs.errors import ExceptionParts

__all__ = ["functions_of"]

_Make = Callable[[Any], Any]


def functions_of(cls: type) -> tuple[_Make, _Make]:
    """
    Return the functions that take an instance of a class apart, and make it again.

    Raises:
        TypeError: the class is none of those that are known.
    """
    if issubclass(cls, BaseException):
        return ExceptionParts.map_of, lambda values: ExceptionParts.from_map(values).make(cls)
    if issubclass(cls, Flag):
        return lambda member: member.value, cls
    if issubclass(cls, Enum):
        return lambda member: member.name, cls.__getitem__
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return lambda value: dict(zip(cls._fields, value, strict=True)), _tuple_rebuilder(cls)
    if not is_dataclass(cls):
        kinds = "a dataclass, a NamedTuple, an Enum or an exception"
        raise TypeError(f"{cls.__qualname__} is not {kinds}: pass encode= and decode=")
    if cls.__new__ is not object.__new__:
        raise TypeError(f"{cls.__qualname__} has a __new__ of its own or of a base: pass encode= and decode=")
    return _field_values, _rebuilder(cls)


def _tuple_rebuilder(cls: Any) -> _Make:
    """Return a function that builds a named tuple from its fields; its own `__new__` is not called."""

    def rebuild(values: Any) -> Any:
        if type(values) is not dict or not set(cls._fields) >= values.keys():
            raise TypeError("these are not its fields")
        values = cls._field_defaults | values
        return tuple.__new__(cls, [values[name] for name in cls._fields])

    return rebuild


def _field_values(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass's instance; raise TypeError if it keeps more than its fields."""
    values = {field.name: getattr(value, field.name) for field in fields(value)}
    for name in getattr(value, "__dict__", ()):
        if name not in values and not isinstance(getattr(type(value), name, None), cached_property):
            raise TypeError(f"the attribute {name} is not a field and would be lost; register with encode= and decode=")
    return values


def _rebuilder(cls: Any) -> _Make:
    """Return a function that builds an instance of a dataclass from its fields."""
    known = {field.name: field for field in fields(cls)}
    makers: dict[str, _Make | None] | None = None

    def rebuild(values: Any) -> Any:
        nonlocal makers
        if makers is None:  # not before: annotations may name classes that come later in the module
            hints = _hints(cls)
            makers = {name: _retupler(hints[name]) for name in known}
        if type(values) is not dict or not known.keys() >= values.keys():
            raise TypeError("these are not its fields")
        instance = object.__new__(cls)
        for name, field in known.items():
            value = values[name] if name in values else _default(field)
            make = makers[name]
            object.__setattr__(instance, name, make(value) if make and name in values else value)
        return instance

    return rebuild


def _hints(cls: type) -> dict[str, Any]:
    """Return the annotations of a dataclass's fields, those that can't be evaluated as text."""
    try:
        return get_type_hints(cls)
    except Exception:  # names of a function's own, or of a type checker's
        return {field.name: field.type for field in fields(cls)}


def _retupler(hint: Any) -> _Make | None:
    """
    Return a function that restores the tuples that an annotation names: on the wire they are lists.

    None if it names no tuples. The annotation is read here and not for each value: that takes ten times as long.
    """
    makers: dict[type, _Make] = {}
    if isinstance(hint, str):
        if re.match(r"(typing\.)?[tT]uple\b", hint):
            makers[list] = tuple
    else:
        options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        for origins, arrives in (((list, tuple), list), ((dict,), dict)):
            kinds = [kind for kind in options if (get_origin(kind) or kind) in origins]
            if len(kinds) == 1 and (make := _maker(get_origin(kinds[0]) or kinds[0], get_args(kinds[0]))):
                makers[arrives] = make  # else the annotation says nothing of it, or admits both
    return (lambda value: makers.get(type(value), _as_it_is)(value)) if makers else None


def _maker(kind: type, inner: tuple[Any, ...]) -> _Make | None:
    """Return a function that restores the tuples in an annotated list, tuple or dict; None if it has none."""
    each = [_retupler(hint) for hint in inner]
    if kind is tuple:
        return _tuple_maker([make or _as_it_is for make in each], inner[1:] == (...,)) if any(each) else tuple
    make = each[-1] if each else None
    if make is None:
        return None
    if kind is list:
        return lambda items: list(map(make, items))
    return lambda items: {key: make(item) for key, item in items.items()}


def _tuple_maker(each: list[_Make], repeated: bool) -> _Make:
    """Return a function that builds a tuple with tuples in it; one of another length than annotated has none."""
    if repeated:
        return lambda items: tuple(map(each[0], items))
    return lambda items: tuple(
        [make(item) for make, item in zip(each, items, strict=True)] if len(items) == len(each) else items
    )


def _as_it_is(value: Any) -> Any:
    return value


def _default(field: Field[Any]) -> Any:
    """Return the value of a field that the sender's version of the class doesn't have."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    if field.default is MISSING:
        raise TypeError(f"the field {field.name} is missing")
    return field.default
