"""The types of a message's fields, and the bodies that are made of them."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, NamedTuple, Protocol, TypeVar

import msgpack

from aioparcs import codec
from aioparcs.errors import DecodeError, EncodeError, ProtocolError
from aioparcs.wire import Frame, FrameType

__all__ = [
    "HIGHEST",
    "Bounded",
    "Bytes",
    "Count",
    "FieldType",
    "Flag",
    "Instance",
    "Integer",
    "Items",
    "Message",
    "Nullable",
    "Number",
    "OneOf",
    "Real",
    "RecordType",
    "Table",
    "Text",
    "Texts",
    "describe",
    "field_types",
    "pack",
    "read",
    "unpack",
]

# The highest number that has 64 bits and a sign.
HIGHEST = (1 << 63) - 1
# Characters of a text that an error quotes.
_SHORT = 60


class FieldType(Protocol):
    """What the value of a field may be."""

    @property
    def name(self) -> str:
        """The name in docs/wire.md."""

    def read(self, value: Any) -> Any:
        """
        Return the field's value, made of a decoded one.

        Raises:
            ValueError: it is none of this type.
        """


class Integer(NamedTuple):
    """The integers of a range, its ends included; a boolean is none."""

    low: int
    high: int

    @property
    def name(self) -> str:
        return f"{_short(self.low)} to {_short(self.high)}"

    def read(self, value: Any) -> int:
        if type(value) is int and self.low <= value <= self.high:
            return value
        raise ValueError


class Number(NamedTuple):
    """The number of a worker, a process or a request."""

    @property
    def name(self) -> str:
        return "number"

    def read(self, value: Any) -> int:
        if type(value) is int and 0 <= value <= HIGHEST:
            return value
        raise ValueError


class Real(NamedTuple):
    """Floats, and integers of 64 bits; a boolean is neither."""

    @property
    def name(self) -> str:
        return "integer or float"

    def read(self, value: Any) -> float:
        return value if type(value) is float else Integer(-1 - HIGHEST, HIGHEST).read(value)


class OneOf(NamedTuple):
    """Some integers."""

    values: tuple[int, ...]

    @property
    def name(self) -> str:
        return " or ".join(str(int(value)) for value in self.values)

    def read(self, value: Any) -> int:
        if type(value) is int and value in self.values:
            return value
        raise ValueError


class Instance(NamedTuple):
    """The values of exactly one type."""

    name: str
    type: type

    def read(self, value: Any) -> Any:
        if type(value) is self.type:
            return value
        raise ValueError


class Bounded(NamedTuple):
    """The values of exactly one type that has a length, up to a length."""

    name: str
    type: type
    longest: int

    def read(self, value: Any) -> Any:
        kind: Any = type(value)
        if kind is self.type and len(value) <= self.longest:
            return value
        raise ValueError


class Nullable(NamedTuple):
    """None, and all values of another type."""

    type: FieldType

    @property
    def name(self) -> str:
        return f"{self.type.name} or nil"

    def read(self, value: Any) -> Any:
        return None if value is None else self.type.read(value)


class Items(NamedTuple):
    """Lists, of any length, of one type's values."""

    type: FieldType

    @property
    def name(self) -> str:
        return f"list of {self.type.name}"

    def read(self, value: Any) -> list[Any]:
        if type(value) is not list:
            raise ValueError
        read = self.type.read
        return [read(one) for one in value]


class RecordType(NamedTuple):
    """The lists that hold the fields of a record, as many as it has."""

    record: Any

    @property
    def name(self) -> str:
        fields = zip(self.record._fields, field_types(self.record), strict=True)
        return f"[{', '.join(f'{name}: {type.name}' for name, type in fields)}]"

    def read(self, value: Any) -> Any:
        types = field_types(self.record)
        if type(value) is not list or len(value) != len(types):
            raise ValueError
        return self.record._make([type.read(one) for type, one in zip(types, value, strict=False)])


Count = Annotated[int, Number()]
Text = Annotated[str, Instance("text", str)]
Texts = Annotated[list[str], Items(Instance("text", str))]
Bytes = Annotated[bytes, Instance("bytes", bytes)]
Flag = Annotated[bool, Instance("boolean", bool)]
Table = Annotated[dict[Any, Any], Instance("map", dict)]


class Message(Protocol):
    """A named tuple whose fields are annotated with their types; its class has a method ``decode`` too."""

    def encode(self) -> tuple[FrameType, bytes]:
        """Return the type and the body of the message's frame."""


_T = TypeVar("_T")


@cache
def field_types(record: Any) -> tuple[FieldType, ...]:
    """Return the types of the fields of a class of named tuples, in their order."""
    return tuple(annotation.__metadata__[0] for annotation in record.__annotations__.values())


def pack(values: Any, *, strict: bool = False) -> bytes:
    """
    Return a body that holds these values.

    Args:
        values: a record, or a list; bytes stay in the body, however many they are.
        strict: False to replace what no Unicode text can hold, such as parts of file names, by question marks.

    Raises:
        EncodeError: a value can't be sent.
    """
    try:
        body: bytes = msgpack.packb(values, unicode_errors="strict" if strict else "replace")
    except (TypeError, ValueError, OverflowError) as error:
        raise EncodeError("$", f"can't be packed: {error}") from error
    return body


def unpack(record: type[_T], name: str, body: Any) -> _T:
    """
    Return the record that a frame's body holds; its last fields may be missing if they have defaults.

    Args:
        record: a class of named tuples.
        name: the frame's name, for errors.
        body: the frame's body.

    Raises:
        ProtocolError: the body is not what it should be.
    """
    make: Any = record
    types = field_types(make)
    if not types and not len(body):
        return record()
    try:
        values = codec.decode(body)
    except DecodeError as error:
        raise ProtocolError(f"the body of a {name} frame cannot be decoded") from error
    least = len(types) - len(make._field_defaults)
    if type(values) is not list or not least <= len(values) <= len(types):
        raise ProtocolError(f"the body of a {name} frame is {describe(values)} instead of its {least} values")
    return record(*(_read_field(name, *one) for one in zip(make._fields, types, values, strict=False)))


def read(frame: Frame, accepted: Mapping[int, Any]) -> Any:
    """
    Return the message in a frame.

    Args:
        frame: the frame.
        accepted: the classes of the messages that may come, by the types of their frames.

    Raises:
        ProtocolError: the frame has no place here, or its body is not what it should be.
    """
    record = accepted.get(frame.type)
    if record is None:
        raise ProtocolError(f"a {FrameType(frame.type).name} frame is not allowed on this control connection")
    return record.decode(frame.body)


def describe(value: Any) -> str:
    """Return the text of a value for people: a peer chose it, so it may be of any size and say anything."""
    short = (type(value) in (int, float) and abs(value) < 1e300) or (type(value) is str and len(value) <= _SHORT)
    if short or value is None or type(value) is bool:
        return repr(value)
    size = f" of {len(value):,}" if type(value) in (list, dict, str, bytes) else ""
    return f"a {type(value).__name__}{size}"


def _read_field(frame: str, field: str, type: FieldType, value: Any) -> Any:
    try:
        return type.read(value)
    except ValueError:
        text = f"the {field} of a {frame} frame cannot be {describe(value)}: it must be {type.name}"
        raise ProtocolError(text) from None


def _short(number: int) -> str:
    """Return an integer's text, short if it is near a high power of two."""
    bits = abs(number).bit_length()
    if abs(number) == 1 << bits - 1 and bits > 20:
        return f"{'-' * (number < 0)}2^{bits - 1}"
    return f"2^{bits} - 1" if number == (1 << bits) - 1 and bits > 20 else str(number)
