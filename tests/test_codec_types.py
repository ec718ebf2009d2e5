from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pytest

import aioparcs
from aioparcs import DecodeError, EncodeError, codec, register
from tests.notation import same


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


def test_another_class_says_how() -> None:
    assert back([Celsius(36.6)]) == [Celsius(36.6)]


def test_a_type_within_holds_whatever_travels() -> None:
    line = Line(Point(2**70), Point(0), [b"x" * 9000, None, {"a": Fraction(1, 3)}])  # type: ignore[list-item]
    received = back(line)
    assert (received.start.x, received.notes) == (2**70, line.notes)


def test_registering_again_replaces() -> None:
    register(Celsius, name="celsius", encode=lambda value: [value.degrees], decode=lambda values: Celsius(*values))
    assert same(back([Celsius(1.0)])[0].degrees, 1.0)


def test_a_class_that_says_nothing_is_refused() -> None:
    class Mute:
        pass

    with pytest.raises(TypeError, match="Mute is no dataclass: say encode= and decode="):
        register(Mute)
    with pytest.raises(TypeError, match="Mute is no dataclass"):
        register(Mute, encode=lambda _: None)


def test_a_name_belongs_to_one_class() -> None:
    with pytest.raises(ValueError, match="the name 'a line' belongs to Line"):
        register(Fraction, name="a line", encode=str, decode=Fraction)


def test_a_subclass_is_not_its_class() -> None:
    class Point3(Point):
        pass

    with pytest.raises(EncodeError, match=r"\$\[0\]: .*Point3 has no form on the wire"):
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
