"""Values whose own code raises while they are encoded."""

import enum
import pickle
import weakref
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, time, timedelta, tzinfo
from typing import Any

import polars
import pytest

from aioparcs import EncodeError, codec, register
from aioparcs.settings import FIRST_EXTENSIONS


class Textless(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class Nameless(tzinfo):
    def dst(self, when: datetime | None, /) -> None:
        return None

    def tzname(self, when: datetime | None, /) -> str:
        raise NotImplementedError("no name")

    def utcoffset(self, when: datetime | None, /) -> timedelta:
        return timedelta(hours=1)


class Zone(Nameless):
    def __init__(self, error: BaseException) -> None:
        self._error = error

    def tzname(self, when: datetime | None, /) -> str:
        raise self._error


class Key:
    def __repr__(self) -> str:
        raise RuntimeError("no representation")


class Number(int):
    def __int__(self) -> int:
        raise Textless


class Real(float):
    def __float__(self) -> float:
        raise OSError("no number")


class Classless:
    @property  # type: ignore[misc]  # it is what such a class does
    def __class__(self) -> Any:
        raise KeyError("no class")


class Unhashable(type):
    def __eq__(cls, other: object) -> bool:
        return False


class OfUnhashable(metaclass=Unhashable):
    pass


class Maker:
    def __repr__(self) -> str:
        raise RuntimeError("no representation")

    def __call__(self) -> int:
        return 0


class Member(enum.Enum):
    A = 1

    def __repr__(self) -> str:
        raise RuntimeError("no representation")


class RaisingBox:
    pass


def _fail(_: object) -> Any:
    raise Textless


register(RaisingBox, encode=_fail, decode=_fail)


def _dead() -> Any:
    return weakref.proxy(Key())


def _moment(zone: tzinfo) -> datetime:
    return datetime(2020, 1, 1, tzinfo=zone)


_VALUES: list[tuple[Callable[[], Any], str, str]] = [
    (lambda: _moment(Nameless()), "", "can't be encoded: NotImplementedError: no name"),
    (lambda: _moment(Zone(ValueError("odd"))), "", "can't be encoded: ValueError: odd"),
    (lambda: _moment(Zone(Textless())), "", "can't be encoded: Textless: str() of it raised ValueError"),
    (lambda: time(1, tzinfo=Zone(OSError("odd"))), "", "which cannot be sent; use a zoneinfo.ZoneInfo"),
    (_dead, "", "can't be encoded: ReferenceError: weakly-referenced object no longer exists"),
    (lambda: {Key(): 1}, "[repr() of it raised RuntimeError]", "Key cannot be sent"),
    (lambda: {1: 2, Key(): 1}, "[repr() of it raised RuntimeError]", "Key cannot be sent"),
    (lambda: {Member.A: 1}, "[repr() of it raised RuntimeError]", "Member.A cannot be sent"),
    (lambda: Number(3), "", "can't be encoded: Textless: str() of it raised ValueError"),
    (lambda: Real(3), "", "can't be encoded: OSError: no number"),
    (Classless, "", "can't be encoded: KeyError: 'no class'"),
    (lambda: defaultdict(Maker()), "", "can't be encoded: RuntimeError: no representation"),
    (RaisingBox, "", "RaisingBox can't be encoded: Textless: str() of it raised ValueError"),
    (lambda: polars.Series("a\0", [1]), "", "a polars.Series that cannot be sent: "),
    (lambda: polars.DataFrame({"a\0": [1]}), "", "a polars.DataFrame that cannot be sent: "),
]


@pytest.mark.parametrize("make, place, reason", _VALUES)
def test_what_a_value_raises_is_an_error_of_its_place(make: Callable[[], Any], place: str, reason: str) -> None:
    value = make()
    for within, step in ((value, "$"), ([0, value], "$[1]"), ({"a": (1, value)}, "$.a[1]")):
        for error in (_refused(codec.encode, within), _refused(codec.encode_inline, within)):
            assert error.place == step + place
            assert reason in error.reason
            assert pickle.loads(pickle.dumps(error)).place == error.place
    assert _refused(codec.encode_result, 1, True, value).place == f"$[2]{place}"
    assert _refused(codec.encode_call, 1, "f", (0, value), {}).place == f"$[2][1]{place}"
    assert _refused(codec.encode_call, 1, "f", (), {"x": value}).place == f"$[3].x{place}"


@pytest.mark.parametrize("make", [value[0] for value in _VALUES])
def test_what_a_value_raises_is_an_encode_error_for_older_peers_too(make: Callable[[], Any]) -> None:
    assert _refused(codec.encode, [make()], FIRST_EXTENSIONS).place == "$[0]"


def test_what_a_value_raises_is_an_encode_error_in_json_too() -> None:
    assert "raises ReferenceError: weakly" in _refused(codec.encode_json, [_dead()]).reason
    assert "the key repr() of it raised RuntimeError" in _refused(codec.encode_json, {Key(): 1}).reason


def test_the_cause_is_kept() -> None:
    assert isinstance(_refused(codec.encode, [_dead()]).__cause__, ReferenceError)


def test_a_class_without_a_hash_is_an_error_of_what_holds_its_instance() -> None:
    for value in (OfUnhashable(), [1, OfUnhashable()], {"a": OfUnhashable()}):
        for error in (_refused(codec.encode, value), _refused(codec.encode_result, 1, True, value)):
            assert "can't be encoded: TypeError: unhashable type" in error.reason
    assert _refused(codec.encode, {"a": [OfUnhashable()]}).place == "$.a"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_passes(kind: type[BaseException]) -> None:
    with pytest.raises(kind):
        codec.encode([_moment(Zone(kind()))])


def _refused(function: Callable[..., Any], *args: Any) -> EncodeError:
    with pytest.raises(EncodeError) as caught:
        function(*args)
    return caught.value
