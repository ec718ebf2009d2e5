"""What the wire calls things: the extension codes, and the types that users gave a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar, overload

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
    Let values of a class travel in messages, under a name that both programs register.

    A dataclass needs nothing more; for other classes say how::

        @register
        @dataclass
        class Point:
            x: float
            y: float

        register(Fraction, encode=lambda f: [f.numerator, f.denominator], decode=lambda v: Fraction(*v))

    Args:
        cls: the class; exactly this one, not its subclasses.
        name: what it is called on the wire, by default the class's qualified name.
        encode: makes a value that has a form on the wire of an instance.
        decode: makes an instance of such a value.

    Returns:
        The class, so that it serves as a decorator.

    Raises:
        TypeError: the class is no dataclass and ``encode`` or ``decode`` is missing.
        ValueError: the name belongs to another class.
    """
    if cls is None:
        return lambda cls: register(cls, name=name, encode=encode, decode=decode)
    if (encode is None or decode is None) and not is_dataclass(cls):
        raise TypeError(f"{cls.__qualname__} is no dataclass: say encode= and decode=")
    entry = UserType(
        name or cls.__qualname__,
        cls,
        encode or (lambda value: {field.name: getattr(value, field.name) for field in fields(value)}),
        decode or (lambda value: cls(**value)),
    )
    other = named.get(entry.name)
    if other is not None and other.cls.__qualname__ != cls.__qualname__:
        raise ValueError(f"the name {entry.name!r} belongs to {other.cls.__qualname__}")
    named[entry.name] = registered[cls] = entry
    return cls
