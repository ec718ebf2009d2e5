"""Python's own types, and registered classes, wherever they stand in a message."""

import math
import sys
import uuid
from collections import Counter, OrderedDict, defaultdict
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from zoneinfo import ZoneInfo

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioparcs import DecodeError, EncodeError, codec
from aioparcs.codec import Ext
from tests.support.natives import equal, natives
from tests.support.registered import Colour, Level, Pair, Permission, Tree
from tests.support.strategies import property_test


def back(value: Any) -> Any:
    body, buffers = codec.encode_inline(value)
    return codec.decode(body, tuple(map(bytearray, buffers)))


def extension(code: int, value: Any) -> bytes:
    return bytes(msgpack.packb(msgpack.ExtType(code, msgpack.packb(value))))


@pytest.mark.slow
@property_test
@given(natives)
def test_any_value_arrives_as_what_it_is(value: Any) -> None:
    assert equal(back(value), value)
    body, buffers = codec.encode_result(1, True, value)
    assert equal(codec.decode(body, tuple(map(bytearray, buffers)))[2], value)


PARIS = ZoneInfo("Europe/Paris")
INDIA = timezone(timedelta(hours=5, minutes=30), "IST")

_each = [
    (),
    (1, (2.5, ("x", None))),
    [(1, "a"), (2, "b")],
    [(1, 2**70), (2, 3)],
    [(1, [2]), (2, 3)],
    ((1, np.float64(2)), b"x" * 9000),
    {1, "a", None, 2.5, (1, 2), frozenset({3})},
    frozenset(),
    complex(-0.0, math.inf),
    Decimal("-1.50E+30"),
    Decimal("sNaN12"),
    uuid.UUID(int=7),
    date(1, 1, 1),
    time(12, 30, 1, 5),
    time(1, tzinfo=PARIS, fold=1),
    time(1, tzinfo=INDIA),
    timedelta.min,
    timedelta(days=-1, microseconds=1),
    datetime(2024, 1, 1),
    datetime(2024, 10, 27, 2, 30, fold=1),
    datetime(2024, 10, 27, 2, 30, tzinfo=PARIS),
    datetime(2024, 10, 27, 2, 30, tzinfo=PARIS, fold=1),
    datetime(2024, 3, 31, 2, 30, tzinfo=PARIS),  # no clock has shown that
    datetime(2024, 1, 1, tzinfo=INDIA),
    datetime(1900, 1, 1, tzinfo=timezone(timedelta(seconds=-561, microseconds=7))),
    datetime(2024, 1, 1, tzinfo=ZoneInfo("UTC")),
    datetime(2024, 1, 1, tzinfo=UTC),
    Path("/tmp/x"),
    PurePosixPath("a/b"),
    PureWindowsPath("c:/x"),
    Path("caf\udce9"),
    OrderedDict(b=1, a=[2]),
    Counter("abca"),
    Counter({"a": -1, (1, 2): 0}),
    defaultdict(list, a=[1]),
    defaultdict(None, {1: 2}),
    {1.5: 1, None: 2, (1, "a"): 3, True: 4, frozenset({5}): 5, Decimal(6): 6, date(2024, 1, 1): 7, Colour.RED: 8},
    {np.int64(1): "a", np.float32(1.5): "b", np.str_("k"): "c"},
    Colour.GREEN,
    [Level.HIGH, {Level.HIGH: Level.HIGH}],
    Permission.READ | Permission.WRITE,
    Pair(1, (Pair({2}), Colour.RED)),
    Tree((1, 2), (Tree(Pair(1)), Tree({Path("x"): 1j}))),
]


@pytest.mark.parametrize("value", _each, ids=lambda value: f"{type(value).__name__}")
def test_each_kind_arrives_in_every_position(value: Any) -> None:
    assert equal(back(value), value)
    assert equal(back([value, {"k": value}, (value,), Pair(value)]), [value, {"k": value}, (value,), Pair(value)])
    body, buffers = codec.encode_call(1, "f", (value,), {"k": value})
    received = codec.decode(body, tuple(map(bytearray, buffers)))
    assert equal(received[2:], [[value], {"k": value}])


def test_zones_are_kept_by_name_and_offset() -> None:
    assert back(datetime(2024, 7, 1, tzinfo=PARIS)).tzinfo is PARIS
    assert back(datetime(2024, 7, 1, tzinfo=INDIA)).tzname() == "IST"
    assert back(datetime(2024, 7, 1)).tzinfo is None


@pytest.mark.parametrize("name, reason", [("", "whose name is empty; give it"), ("a\ud800", "is invalid Unicode")])
def test_a_zone_whose_name_cannot_travel_is_refused_with_its_place(name: str, reason: str) -> None:
    zone = timezone(timedelta(hours=1), name)
    for value in (datetime(2024, 7, 1, tzinfo=zone), time(1, tzinfo=zone)):
        with pytest.raises(EncodeError, match=rf"^\$\.a\[1\]: a time zone .*{reason}"):
            codec.encode({"a": [0, value]})


def test_a_moment_counts_where_zones_have_changed_their_clocks() -> None:
    body = extension(Ext.PYTHON, ["datetime", "2024-07-01T12:00:00+05:00", "Europe/Paris", "", 0])
    received = codec.decode(body)
    assert received == datetime(2024, 7, 1, 7, tzinfo=UTC)
    assert received.tzinfo is PARIS


def test_scalars_of_numpy_are_keys_without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    body, _ = codec.encode_inline({np.int64(1): "a", np.float32(1.5): "b", np.str_("k"): "c"})
    monkeypatch.setitem(sys.modules, "numpy", None)
    received = codec.decode(body)
    assert received == {1: "a", 1.5: "b", "k": "c"}
    assert [type(key) for key in received] == [int, float, str]


def test_a_dict_that_makes_what_is_missing_goes_on_to_do_so() -> None:
    received = back(defaultdict(list, a=[1]))
    received["b"].append(2)
    assert received == {"a": [1], "b": [2]}


# Hostile bytes

_bad = [
    (Ext.TUPLE, 5),
    (Ext.TUPLE, {}),
    (Ext.ROWS, [1]),
    (Ext.ROWS, ["ab"]),
    (Ext.ROWS, None),
    (Ext.PYTHON, ["os.system", "true"]),
    (Ext.PYTHON, [["set"], []]),
    (Ext.PYTHON, ["set"]),
    (Ext.PYTHON, ["set", [[]]]),
    (Ext.PYTHON, ["set", "abc"]),
    (Ext.PYTHON, ["set", [], 1, 2]),
    (Ext.PYTHON, ["complex", ["1", 2.0]]),
    (Ext.PYTHON, ["Decimal", [0, [1], 2]]),
    (Ext.PYTHON, ["Decimal", "x"]),
    (Ext.PYTHON, ["UUID", b"short"]),
    (Ext.PYTHON, ["UUID", "0" * 16]),
    (Ext.PYTHON, ["date", "2024"]),
    (Ext.PYTHON, ["date", 5]),
    (Ext.PYTHON, ["timedelta", [10**10, 0, 0]]),
    (Ext.PYTHON, ["datetime", "2024-01-01T00:00:00", "../../etc/passwd", "", 0]),
    (Ext.PYTHON, ["datetime", "2024-01-01T00:00:00", "tzdata.zoneinfo", "", 0]),
    (Ext.PYTHON, ["datetime", "2024-01-01T00:00:00", "No/Where", "", 0]),
    (Ext.PYTHON, ["datetime", "2024-01-01T00:00:00", "", "", 7]),
    (Ext.PYTHON, ["time", "25:00", "", "", 0]),
    (Ext.PYTHON, ["OrderedDict", [["a", 1]]]),
    (Ext.PYTHON, ["Counter", ["a", "b"]]),
    (Ext.PYTHON, ["defaultdict", {}, "eval"]),
    (Ext.PYTHON, ["path", "x", "Popen"]),
    (Ext.PYTHON, ["path", 5, "PosixPath"]),
    (Ext.USER, ["Colour", "BLUE"]),
    (Ext.USER, ["Colour", "__class__"]),
    (Ext.USER, ["Permission", 64]),
    (Ext.USER, ["Pair", {"third": 1}]),
    (Ext.USER, ["Pair", {}]),
    (Ext.USER, ["Pair", [1, 2]]),
    (Ext.USER, ["HttpError", {"args": 5, "attributes": {}}]),
    (Ext.USER, ["HttpError", []]),
]


@pytest.mark.parametrize("code, value", _bad)
def test_what_is_no_such_value_is_a_decode_error(code: int, value: Any) -> None:
    before = set(sys.modules)
    for body in (extension(code, value), b"\x92" + extension(code, value) + extension(Ext.BYTES, 0)):
        with pytest.raises(DecodeError):
            codec.decode(body, (b"",) if body[:1] == b"\x92" else ())
    assert not [name for name in set(sys.modules) - before if name.startswith(("os", "tzdata.zoneinfo."))]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["set", "frozenset"])
def test_members_of_one_hash_are_refused(name: str) -> None:
    alike = [msgpack.ExtType(Ext.INTEGER, ((2**61 - 1) * (2**70 + i)).to_bytes(18, "big")) for i in range(30_000)]
    with pytest.raises(DecodeError, match="have the same hash"):
        codec.decode(extension(Ext.PYTHON, [name, alike]))


@pytest.mark.slow
def test_tuples_and_numbers_of_one_hash_are_refused_as_keys() -> None:
    imaginary = 1000003  # a complex number's hash is that of its real part, and of the other times this
    alike = [[float(-imaginary * i), float(i)] for i in range(30_000)]
    assert len({hash(complex(*parts)) for parts in alike}) == 1
    kinds = [
        [msgpack.ExtType(Ext.PYTHON, msgpack.packb(["complex", parts])) for parts in alike],
        [
            msgpack.ExtType(Ext.TUPLE, msgpack.packb([msgpack.ExtType(Ext.PYTHON, msgpack.packb(["complex", parts]))]))
            for parts in alike
        ],
        [
            msgpack.ExtType(Ext.ARRAY, msgpack.packb(["<c16", [], "S", np.complex128(complex(*parts)).tobytes()]))
            for parts in alike
        ],
    ]
    for keys in kinds:
        with pytest.raises(DecodeError, match="have the same hash"):
            codec.decode(msgpack.packb(dict.fromkeys(keys)))


@property_test
@given(st.binary(max_size=40), st.sampled_from([Ext.TUPLE, Ext.ROWS, Ext.PYTHON, Ext.TABLE]))
def test_any_data_of_an_extension_gives_a_value_or_a_decode_error(data: bytes, code: int) -> None:
    try:
        codec.decode(msgpack.packb(msgpack.ExtType(code, data)))
    except DecodeError:
        pass
