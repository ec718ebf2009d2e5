"""The extension codes of the wire, and the registry of users' types."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import IntEnum
from functools import cached_property
from types import UnionType
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints, overload

__all__ = ["MAX_DEPTH", "MAX_EXT_DEPTH", "OUT_OF_BAND", "Ext", "UserType", "named", "register", "registered"]

# Bytes and arrays from this size on travel as buffers behind the body.
OUT_OF_BAND = 8192
# Containers within containers; a cycle ends here too.
MAX_DEPTH = 256
# Extensions within extensions: each level takes about 40 KiB of the C stack in the MessagePack library.
MAX_EXT_DEPTH = 32


class Ext(IntEnum):
    """The MessagePack extension codes; -1 is the standard timestamp."""

    INTEGER = 1
    ARRAY = 2
    BYTES = 3
    ADDRESS = 4
    USER = 5


class UserType(NamedTuple):
    """A type that travels under a name."""

    name: str
    cls: type
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


named: dict[str, UserType] = {}
registered: dict[type, UserType] = {}

T = TypeVar("T")
_Make = Callable[[Any], Any]


@overload
def register(cls: type[T], /) -> type[T]: ...
@overload
def register(
    cls: type[T],
    /,
    *,
    name: str | None = None,
    encode: Callable[[T], Any] | None = None,
    decode: Callable[[Any], T] | None = None,
) -> type[T]: ...
@overload
def register(cls: None = None, /, *, name: str) -> Callable[[type[T]], type[T]]: ...
def register(
    cls: Any = None,
    /,
    *,
    name: str | None = None,
    encode: Callable[[Any], Any] | None = None,
    decode: Callable[[Any], Any] | None = None,
) -> Any:
    """
    Register a class under a name, so that its values travel in messages; both programs register it.

    A dataclass needs nothing more. Its fields are sent, and it is rebuilt from them as by `copy`, without calling
    ``__init__`` or ``__post_init__``. For other classes pass two functions::

        @register
        @dataclass
        class Point:
            x: float
            y: float

        register(Fraction, encode=lambda f: [f.numerator, f.denominator], decode=lambda v: Fraction(*v))

    Args:
        cls: the class; exactly this one, not its subclasses.
        name: what it is called on the wire, by default the class's qualified name.
        encode: converts an instance to a value that can be sent.
        decode: converts such a value back to an instance.

    Returns:
        The class, so that it serves as a decorator.

    Raises:
        TypeError: ``encode`` or ``decode`` is missing, and the class is not a dataclass or has its own ``__new__``.
        ValueError: the name belongs to another class; classes of different modules, or two local ones, need ``name=``.
    """
    if cls is None:
        return lambda cls: register(cls, name=name, encode=encode, decode=decode)
    kind: type = cls
    if encode is None or decode is None:
        if not is_dataclass(kind):
            raise TypeError(f"{kind.__qualname__} is not a dataclass: pass encode= and decode=")
        if kind.__new__ is not object.__new__:
            raise TypeError(f"{kind.__qualname__} has a __new__ of its own or of a base: pass encode= and decode=")
    entry = UserType(name or cls.__qualname__, cls, encode or _field_values, decode or _rebuilder(cls))
    other = named.get(entry.name)
    if other is not None and not _is_same(other.cls, cls):
        owner = f"{other.cls.__module__}.{other.cls.__qualname__}"
        raise ValueError(f"the name {entry.name!r} belongs to {owner}: pass another name=")
    named[entry.name] = registered[cls] = entry
    return cls


def _is_same(old: type, new: type) -> bool:
    """Return True if a class is another one again, as after a module was reloaded or a notebook's cell run twice."""
    if old is new:
        return True
    where = new.__module__, new.__qualname__
    return (old.__module__, old.__qualname__) == where and "<locals>" not in new.__qualname__


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
