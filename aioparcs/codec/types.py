"""The extension codes of the wire, and the registry of users' types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar, overload

__all__ = [
    "DIGEST",
    "MAX_DEPTH",
    "MAX_EXT_DEPTH",
    "OUT_OF_BAND",
    "Ext",
    "UserType",
    "named",
    "register",
    "registered",
]

# Bytes and arrays from this size on travel as buffers behind the body.
OUT_OF_BAND = 8192
# Bytes of a digest of a value.
DIGEST = 16
# Containers within containers; a cycle ends here too.
MAX_DEPTH = 256
# Extensions within extensions: each level takes about 40 KiB of the C stack in the MessagePack library.
MAX_EXT_DEPTH = 32


class Ext:
    """
    The MessagePack extension codes; -1 is the standard timestamp.

    Plain integers: to compare members of an enum takes as long as to decode a tuple.
    """

    INTEGER: Final = 1
    ARRAY: Final = 2
    BYTES: Final = 3
    ADDRESS: Final = 4
    USER: Final = 5
    TUPLE: Final = 6
    ROWS: Final = 7
    PYTHON: Final = 8
    TABLE: Final = 9


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
    Register a class under a name, so that its values travel in messages; both programs register it.

    A dataclass, a ``NamedTuple``, an ``Enum`` and an exception need nothing more. A dataclass is rebuilt from its
    fields as by ``copy``, without calling ``__init__`` or ``__post_init__``; so is a named tuple. A member of an enum
    travels by its name, one of a ``Flag`` by its value. An exception travels with its ``args`` and attributes. For
    other classes pass two functions::

        @register
        @dataclass
        class Point:
            x: float
            y: float

        @register
        class Colour(Enum):
            RED = 1

        @register
        class HttpError(Exception):
            def __init__(self, status):
                super().__init__(f"status {status}")
                self.status = status

        register(Fraction, encode=lambda f: [f.numerator, f.denominator], decode=lambda v: Fraction(*v))

    An exception of a registered class that a service raises is raised in the runner as a `RemoteError` that is also
    an instance of that class, or of the nearest one that is registered: ``except HttpError as error`` catches it, and
    ``error.status`` is there.

    Args:
        cls: the class; exactly this one, not its subclasses.
        name: what it is called on the wire, by default the class's qualified name.
        encode: converts an instance to a value that can be sent.
        decode: converts such a value back to an instance.

    Returns:
        The class, so that it serves as a decorator.

    Raises:
        TypeError: ``encode`` or ``decode`` is missing, and the class is none of these, or a dataclass with its own
            ``__new__``.
        ValueError: the name belongs to another class; classes of different modules, or two local ones, need ``name=``.
    """
    if cls is None:
        return lambda cls: register(cls, name=name, encode=encode, decode=decode)
    if encode is None or decode is None:
        from aioparcs.codec.classes import functions_of  # few programs register types

        own_encode, own_decode = functions_of(cls)
        encode, decode = encode or own_encode, decode or own_decode
    entry = UserType(name or cls.__qualname__, cls, encode, decode)
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
