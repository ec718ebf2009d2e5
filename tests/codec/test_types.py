import sys
from dataclasses import InitVar, dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import pytest

import aioparcs
from aioparcs import DecodeError, EncodeError, codec, register
from aioparcs.settings import FIRST_EXTENSIONS
from tests.support.notation import same


def back(value: Any) -> Any:
    body, buffers = codec.encode_inline(value)
    return codec.decode(body, tuple(map(bytes, buffers)))


@register
@dataclass
class Point:
    x: float
    y: float = 0.0


@register(name="a line")
@dataclass(frozen=True, slots=True)
class Line:
    start: Point
    end: Point
    notes: list[str] = field(default_factory=list)


class Celsius:
    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Celsius) and self.degrees == other.degrees


register(Celsius, name="celsius", encode=lambda value: value.degrees, decode=Celsius)


def test_registering_is_public() -> None:
    assert aioparcs.register is codec.register


def test_a_dataclass_needs_no_more_than_its_name() -> None:
    assert back(Point(1.5)) == Point(1.5)
    assert codec.encode(Point(1.5))[1].endswith(
        b"\x92\xa5Point\x82\xa1x\xcb\x3f\xf8\0\0\0\0\0\0\xa1y\xcb\0\0\0\0\0\0\0\0"
    )


def test_registered_types_nest() -> None:
    line = Line(Point(1, 2), Point(3, 4), ["a", "b"])
    assert back({"lines": [line, line]}) == {"lines": [line, line]}


def test_a_plain_class_needs_encode_and_decode() -> None:
    assert back([Celsius(36.6)]) == [Celsius(36.6)]


def test_a_registered_type_may_contain_any_value() -> None:
    line = Line(Point(2**70), Point(0), [b"x" * 9000, None, {"a": Fraction(1, 3)}])  # type: ignore[list-item]
    received = back(line)
    assert (received.start.x, received.notes) == (2**70, line.notes)


def test_registering_again_replaces() -> None:
    register(Celsius, name="celsius", encode=lambda value: [value.degrees], decode=lambda values: Celsius(*values))
    assert same(back([Celsius(1.0)])[0].degrees, 1.0)


def test_a_plain_class_without_encode_and_decode_is_refused() -> None:
    class Mute:
        pass

    with pytest.raises(TypeError, match=r"Mute is not a dataclass, .*: pass encode= and decode="):
        register(Mute)
    with pytest.raises(TypeError, match="Mute is not a dataclass"):
        register(Mute, encode=lambda _: None)


def test_a_name_belongs_to_one_class() -> None:
    with pytest.raises(ValueError, match=r"the name 'a line' belongs to .*Line: pass another name="):
        register(Fraction, name="a line", encode=str, decode=Fraction)


def test_a_subclass_is_not_its_class() -> None:
    class Point3(Point):
        pass

    with pytest.raises(EncodeError, match=r"\$\[0\]: .*Point3 cannot be sent"):
        codec.encode([Point3(1)])


@pytest.mark.parametrize("value", [{}, {"x": 1, "z": 2}, [1], 5, None])
def test_fields_that_dont_fit_are_a_decode_error(value: Any) -> None:
    body = codec.encode_inline(Point(0))[0]
    from_elsewhere = codec.encode_inline(value)[0]
    extension = b"\x92\xa5Point" + from_elsewhere
    with pytest.raises(DecodeError, match="Point can't be decoded"):
        codec.decode(b"\xc7" + bytes([len(extension), body[2]]) + extension)


def test_a_decoder_that_fails_is_named_and_kept() -> None:
    with pytest.raises(DecodeError, match="ratio can't be decoded: ZeroDivisionError") as caught:
        codec.decode(b"\xc7\x0a\x05\x92\xa5ratio\x92\x01\x00")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@register
@dataclass
class Doubled:
    number: int
    scale: InitVar[int] = 1
    total: int = field(init=False, default=0)

    def __post_init__(self, scale: int) -> None:
        self.number *= 2
        self.total = self.number * scale

    @cached_property
    def half(self) -> float:
        return self.number / 2


def test_a_dataclass_arrives_with_its_fields_as_they_were() -> None:
    value = Doubled(1, 3)
    assert value.half  # what is cached is made again
    received = back(value)
    assert received == value
    assert (received.number, received.total, received.half) == (2, 6, 1)


def test_an_attribute_that_is_not_a_field_is_refused() -> None:
    point = Point(1)
    point.colour = "red"  # type: ignore[attr-defined]  # what is tested
    with pytest.raises(EncodeError, match="the attribute colour is not a field"):
        codec.encode(point)


def test_a_dataclass_with_state_beyond_its_fields_is_refused() -> None:
    @dataclass
    class Table(dict[str, int]):
        x: int = 0

    with pytest.raises(TypeError, match="Table has a __new__ of its own or of a base"):
        register(Table)


def _local() -> type:
    @dataclass
    class Local:
        x: int

    return Local


def test_two_local_classes_need_two_names() -> None:
    first, second = _local(), _local()
    register(first)
    register(first)
    with pytest.raises(
        ValueError, match=r"belongs to tests.codec.test_types._local.<locals>.Local: pass another name="
    ):
        register(second)
    register(second, name="second local")
    assert type(back(first(1))) is first
    assert type(back(second(1))) is second


def test_classes_of_two_modules_need_two_names() -> None:
    other: Any = dataclass(type("Point", (), {"__annotations__": {"x": int}, "__module__": "elsewhere"}))
    with pytest.raises(ValueError, match=r"the name 'Point' belongs to tests.codec.test_types.Point"):
        register(other)


def test_a_class_defined_again_replaces() -> None:
    again: Any = dataclass(type("Point", (), {"__annotations__": {"x": float, "y": float}, "__module__": __name__}))
    try:
        register(again)
        assert type(back(again(1, 2))) is again
    finally:
        register(Point)


@register
@dataclass(frozen=True)
class Shape:
    size: tuple[int, ...] = ()
    pairs: list[tuple[int, str]] = field(default_factory=list)
    corner: tuple[int, tuple[str, float]] | None = None
    named: dict[str, tuple[int, int]] = field(default_factory=dict)
    either: list[int] | tuple[int, ...] = field(default_factory=list)
    maybe: dict[str, tuple[int, int]] | None = None
    loose: Any = None
    plain: list[int] = field(default_factory=list)


def test_annotated_tuples_of_a_dataclass_arrive_as_tuples() -> None:
    shape = Shape((1, 2), [(1, "a"), (2, "b")], (1, ("x", 0.5)), {"k": (3, 4)}, maybe={"k": (5, 6)}, plain=[5])
    assert back(shape) == shape
    assert back(Shape(corner=None)) == Shape()
    assert back(Shape(loose=(1, 2))).loose == (1, 2)


def test_tuples_that_were_sent_as_lists_arrive_as_tuples_where_it_is_annotated_so() -> None:
    shape = Shape((1, 2), [(1, "a"), (2, "b")], (1, ("x", 0.5)), {"k": (3, 4)}, maybe={"k": (5, 6)}, plain=[5])
    assert codec.decode(codec.encode_inline(shape, FIRST_EXTENSIONS)[0]) == shape
    assert back(Shape(either=[1])).either == [1]


def test_annotations_are_read_once_and_not_for_each_value() -> None:
    body, _ = codec.encode_inline(Shape(pairs=[(number, "a") for number in range(100)]), FIRST_EXTENSIONS)
    codec.decode(body)
    calls: list[str] = []
    sys.setprofile(lambda frame, event, _: calls.append(frame.f_code.co_name) if event == "call" else None)
    try:
        codec.decode(body)
    finally:
        sys.setprofile(None)
    assert len(calls) < 150


def test_annotations_that_can_not_be_evaluated_are_read_as_text() -> None:
    @register
    @dataclass
    class Local:
        size: "tuple[Hidden, ...]"  # type: ignore[name-defined]  # noqa: F821  # what a type checker alone imports
        rows: "list[Hidden]"  # type: ignore[name-defined]  # noqa: F821  # the same

    assert back(Local((1, 2), [3])) == Local((1, 2), [3])
