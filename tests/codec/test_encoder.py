import inspect
import sys
import time
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import Enum, IntEnum, StrEnum
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from aioparcs import Address, EncodeError, codec
from aioparcs.codec.types import MAX_DEPTH, MAX_EXT_DEPTH
from aioparcs.settings import FIRST_EXTENSIONS
from tests.support.notation import same

NO_UNICODE = "\ud800"
EAST, WEST = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))
EAST_TIME = datetime(2024, 1, 1, 5, 30, tzinfo=timezone(timedelta(hours=5.5)))
LONDON = datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/London"))  # as late as in UTC, in winter


class Colour(Enum):
    RED = 1


class Level(IntEnum):
    HIGH = 3


class Word(StrEnum):
    YES = "yes"


class Text(str):
    def __str__(self) -> str:
        return "another text"


class Number(float):
    pass


class Point(NamedTuple):
    x: int
    y: int


class Moment(datetime):
    pass


class Zone(tzinfo):
    def tzname(self, when: datetime | None, /) -> str:
        return "here"

    def utcoffset(self, when: datetime | None, /) -> timedelta:
        return timedelta(hours=1)

    def dst(self, when: datetime | None, /) -> None:
        return None


class Tally(Counter[str]):
    pass


class Unknown:
    pass


class Box:
    def __init__(self, value: Any) -> None:
        self.value = value


class Broken:
    pass


def _fail(_: object) -> Any:
    raise KeyError("nothing here")


codec.register(Box, encode=lambda box: box.value, decode=Box)
codec.register(Broken, encode=_fail, decode=_fail)


def nested(count: int, within: Callable[[Any], Any], innermost: Any = 0) -> Any:
    value = innermost
    for _ in range(count):
        value = within(value)
    return value


def in_list(value: Any) -> list[Any]:
    return [value]


def in_dict(value: Any) -> dict[str, Any]:
    return {"a": value}


# Places

_MASKED = np.ma.masked_array([1, 2], mask=[True, False])

_places = [
    (deque(), "$", "collections.deque cannot be sent; convert it first, or register its type with aioparcs.register"),
    ({"rows": [0, {"when": deque([1])}]}, "$.rows[1].when", "collections.deque cannot be sent"),
    ((0, (1, object())), "$[1][1]", "object cannot be sent"),
    ({"a b": range(1)}, "$['a b']", "range cannot be sent"),
    ({7: slice(1)}, "$[7]", "slice cannot be sent"),
    ({b"k": Colour.RED}, "$[b'k']", "tests.codec.test_encoder.Colour.RED cannot be sent; register its class"),
    ([Unknown()], "$[0]", "tests.codec.test_encoder.Unknown cannot be sent"),
    (deque([1]), "$", "collections.deque cannot be sent"),
    (iter([1]), "$", "list_iterator cannot be sent"),
    (Unknown, "$", "type cannot be sent"),
    ({"x": {Colour.RED: 2}}, "$.x[<Colour.RED: 1>]", "Colour.RED cannot be sent"),
    ([datetime(2024, 1, 1, tzinfo=Zone())], "$[0]", "is a tests.codec.test_encoder.Zone, which cannot be sent"),
    ([datetime(2024, 1, 1, tzinfo=timezone(timedelta(microseconds=1)))], "$[0]", "less than a second from UTC"),
    ({"a": Tally("abca")}, "$.a", "Tally would arrive as a plain dict; send dict(value), or register"),
    (defaultdict(lambda: 1), "$", "which cannot be sent; send dict(value)"),
    ([{Colour.RED}], "$[0][0]", "Colour.RED cannot be sent"),
    ([Point(1, 2)], "$[0]", "tests.codec.test_encoder.Point would arrive as a plain tuple; send tuple(value)"),
    ([time.gmtime()], "$[0]", "time.struct_time would arrive as a plain tuple"),
    (Moment(2024, 1, 1, tzinfo=UTC), "$", "tests.codec.test_encoder.Moment would arrive as a plain datetime"),
    (NO_UNICODE, "$", "invalid Unicode text"),
    (["a", NO_UNICODE], "$[1]", "invalid Unicode text"),
    ({"a": [1, {"b": NO_UNICODE}]}, "$.a[1].b", "invalid Unicode text"),
    ({NO_UNICODE: 1}, r"$['\ud800']", "invalid Unicode text"),
    (Address("tcp", NO_UNICODE), "$[1]", "invalid Unicode text"),
    ([Box(NO_UNICODE)], "$[0]<Box>", "invalid Unicode text"),
    ([Box({"a": [deque()]})], "$[0]<Box>.a[0]", "deque cannot be sent"),
    ({"a": Broken()}, "$.a", "Broken can't be encoded: KeyError: 'nothing here'"),
    ({"a": np.array([None])}, "$.a", "an array of dtype object cannot be sent"),
    ([np.array([(1, None)], [("a", "i4"), ("b", "O")])], "$[0]", "cannot be sent"),
    ([_MASKED], "$[0]", "an array of class MaskedArray; send numpy.asarray() of it"),
    (np.array([(1,)], [(NO_UNICODE, "i4")]), "$", "cannot be sent"),
    (np.zeros(2, [("a", "i4")]).view(np.recarray), "$", "an array of class recarray"),
    (np.zeros(9000, "u1").view(np.recarray), "$", "an array of class recarray"),
]
if hasattr(np, "dtypes") and hasattr(np.dtypes, "StringDType"):  # NumPy 2
    _places.append((np.array(["a"], np.dtypes.StringDType()), "$", "cannot be sent"))


@pytest.mark.parametrize("value, place, reason", _places)
def test_an_unsupported_value_is_named_with_its_place(value: Any, place: str, reason: str) -> None:
    with pytest.raises(EncodeError) as caught:
        codec.encode(value)
    assert caught.value.place == place
    assert reason in caught.value.reason
    assert str(caught.value) == f"{place}: {caught.value.reason}"


@pytest.mark.parametrize("plain", [list(range(1000)), ["a"] * 1000, [[0] * 1000], {"a": list(range(1000))}])
def test_an_integer_beyond_64_bits_costs_nothing_for_each_value_beside_it(plain: Any) -> None:
    calls: list[str] = []
    value = [2**70, *plain, 2**70] if type(plain) is list else {**plain, "b": 2**70}
    sys.setprofile(lambda frame, event, _: calls.append(frame.f_code.co_name) if event == "call" else None)
    try:
        _, body, _ = codec.encode(value)
    finally:
        sys.setprofile(None)
    assert codec.decode(body) == value
    assert len(calls) < 100


def test_the_first_of_several_places_is_named() -> None:
    with pytest.raises(EncodeError, match=r"^\$\.a\[0\]: collections.deque"):
        codec.encode({"a": [deque(), object()], "b": object()})


def test_an_encode_error_does_not_affect_the_next_value() -> None:
    bads: list[Any] = [[1, "x", NO_UNICODE], {"deep": [[deque()]]}, Box(NO_UNICODE)]
    for bad in bads:
        with pytest.raises(EncodeError):
            codec.encode(bad)
        assert codec.encode([1, 2]) == (False, b"\x92\x01\x02", ())


# Depth

_KINDS = [in_list, in_dict]


@pytest.mark.parametrize("within", _KINDS, ids=["list", "dict"])
def test_containers_nest_to_the_limit_and_come_back(within: Callable[[Any], Any]) -> None:
    deepest = nested(MAX_DEPTH + 1, within)  # the outermost has depth 0
    _, body, _ = codec.encode(deepest)
    assert codec.decode(body) == nested(MAX_DEPTH + 1, within)


@pytest.mark.parametrize("within", _KINDS, ids=["list", "dict"])
def test_containers_nest_no_deeper(within: Callable[[Any], Any]) -> None:
    with pytest.raises(EncodeError, match=f"nested more than {MAX_DEPTH} deep, or within itself") as caught:
        codec.encode(nested(MAX_DEPTH + 2, within))
    assert caught.value.place.startswith("$.a.a" if within is in_dict else "$[0][0]")


def test_tuples_nest_to_the_limit_of_extensions_and_no_deeper() -> None:
    deepest = nested(MAX_EXT_DEPTH, lambda value: (value,))
    assert codec.decode(codec.encode(deepest)[1]) == deepest
    with pytest.raises(EncodeError, match=f"tuples nested more than {MAX_EXT_DEPTH - 1} deep"):
        codec.encode((deepest,))


def test_tuples_nest_as_lists_do_for_a_peer_that_knows_none() -> None:
    deepest = nested(MAX_DEPTH + 1, lambda value: (value,))
    body, _ = codec.encode_inline(deepest, FIRST_EXTENSIONS)
    assert codec.decode(body) == nested(MAX_DEPTH + 1, in_list)


_unknown = [
    ({1}, "$", "set cannot be sent"),
    ({"x": {1.5: 2}}, "$.x", "a key is 1.5; keys are str, int or bytes"),
    ([{(1, 2): 3}], "$[0]", "a key is (1, 2)"),
    ({"when": datetime(2024, 1, 1)}, "$.when", "a datetime without a time zone"),
    ([EAST_TIME], "$[0]", "a datetime in the zone UTC+05:30 would arrive in UTC; send value.astimezone("),
    ([LONDON], "$[0]", "a datetime in the zone GMT would arrive in UTC"),
    ([datetime.min.replace(tzinfo=EAST)], "$[0]", "outside of the years 1 to 9999"),
    ([datetime.max.replace(tzinfo=WEST)], "$[0]", "outside of the years 1 to 9999"),
    ({"a": Counter("abca")}, "$.a", "collections.Counter would arrive as a plain dict; send dict(value), or register"),
]


@pytest.mark.parametrize("value, place, reason", _unknown)
def test_what_a_peer_does_not_know_is_refused(value: Any, place: str, reason: str) -> None:
    with pytest.raises(EncodeError) as caught:
        codec.encode(value, FIRST_EXTENSIONS)
    assert caught.value.place == place
    assert reason in caught.value.reason


_known = [
    ((1, (2, ())), [1, [2, []]]),
    ([(1, 2), (3, 4)], [[1, 2], [3, 4]]),
    (OrderedDict(b=[1], a=2), {"b": [1], "a": 2}),
    (datetime(2024, 1, 1, tzinfo=ZoneInfo("UTC")), datetime(2024, 1, 1, tzinfo=UTC)),
]


@pytest.mark.parametrize("value, arrives", _known)
def test_a_peer_that_knows_no_more_gets_what_it_always_got(value: Any, arrives: Any) -> None:
    assert same(codec.decode(*codec.encode_inline(value, FIRST_EXTENSIONS)), arrives)
    assert same(codec.decode(codec.encode_call(1, "f", [value], {}, FIRST_EXTENSIONS)[0])[2], [arrives])
    assert same(codec.decode(codec.encode_result(1, True, value, FIRST_EXTENSIONS)[0])[2], arrives)


@pytest.mark.parametrize("innermost", [1, np.float64(1), Address("tcp", "h", 1), b"x" * codec.OUT_OF_BAND])
def test_registered_types_nest_to_the_limit_and_come_back(innermost: Any) -> None:
    body, buffers = codec.encode_inline(nested(MAX_EXT_DEPTH - 1, Box, innermost))
    value = codec.decode(body, buffers)
    for _ in range(MAX_EXT_DEPTH - 1):
        value = value.value
    assert same(value, innermost)


def test_registered_types_nest_no_deeper() -> None:
    with pytest.raises(EncodeError, match=f"nested more than {MAX_EXT_DEPTH - 1} deep"):
        codec.encode(nested(MAX_EXT_DEPTH, Box))


def _cycles() -> list[Any]:
    values: list[Any] = []
    values.append(values)
    table: dict[str, Any] = {}
    table["self"] = [table]
    box = Box(None)
    box.value = {"box": box}
    return [values, table, box]


@pytest.mark.parametrize("value", _cycles(), ids=["list", "dict", "registered"])
def test_a_value_within_itself_is_an_error(value: Any) -> None:
    with pytest.raises(EncodeError, match="within itself"):
        codec.encode(value)


def test_a_value_may_appear_twice() -> None:
    shared = [1, {"a": 2}]
    _, body, _ = codec.encode([shared, shared])
    assert codec.decode(body) == [shared, shared]


@pytest.mark.slow
def test_a_nearly_full_stack_is_an_encode_error() -> None:
    def descend(left: int) -> None:
        if left:
            descend(left - 1)
        else:
            codec.encode(nested(200, in_dict))

    depth = len(inspect.stack(0))
    with pytest.raises(EncodeError, match="recursion"):
        descend(sys.getrecursionlimit() - depth - 60)


# What travels as something simpler


_simpler = [
    (Level.HIGH, 3),
    (Word.YES, "yes"),
    (Text("text"), "text"),
    (Number(1.5), 1.5),
    ({Level.HIGH: 1, Word.YES: 2, True: 3}, {3: 1, "yes": 2, True: 3}),
    ([Level.HIGH, Text("text")], [3, "text"]),
    (bytearray(b"abc"), b"abc"),
    (memoryview(b"abc")[1:], b"bc"),
    ([bytearray(b"x" * codec.OUT_OF_BAND)], [b"x" * codec.OUT_OF_BAND]),
    (memoryview(b"").cast("B"), b""),
    (np.zeros((2, 0)).data, b""),
]


@pytest.mark.parametrize("value, arrives", _simpler)
def test_a_subclass_travels_as_its_base_class(value: Any, arrives: Any) -> None:
    raw, body, buffers = codec.encode(value)
    assert not raw
    assert same(codec.decode(body, tuple(map(bytes, buffers))), arrives)


def test_arguments_may_come_in_any_sequence() -> None:
    assert codec.decode(*codec.encode_call(1, "f", Point(1, 2), OrderedDict(a=3))) == [1, "f", [1, 2], {"a": 3}]


# JSON

_endless: list[Any] = []
_endless.append(_endless)

_no_json = [
    (b"x", "$", "bytes cannot be sent as JSON, and this channel speaks version 1"),
    ({"a": [1, {2}]}, "$.a[1]", "set"),
    ({"a": {(1,): 2}}, "$.a", "the key (1,)"),
    ([0, (1, np.array([1]))], "$[1][1]", "ndarray"),
    (_endless, "$" + "[0]" * (MAX_DEPTH + 1), "nested this deep"),
    (nested(100_000, in_list), "$" + "[0]" * (MAX_DEPTH + 1), "nested this deep"),
]


@pytest.mark.parametrize("value, place, reason", _no_json, ids=range(len(_no_json)))
def test_a_value_that_json_cannot_hold_is_named_with_its_place(value: Any, place: str, reason: str) -> None:
    with pytest.raises(EncodeError) as caught:
        codec.encode_json(value)
    assert caught.value.place == place
    assert reason in caught.value.reason
