"""The cost of any message for its receiver: time and memory in proportion to its bytes, or a refusal."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from aioparcs import DecodeError, codec
from aioparcs.codec import Ext

pytestmark = pytest.mark.slow


def extension(code: int, data: bytes) -> bytes:
    packed: bytes = msgpack.packb(msgpack.ExtType(code, data))
    return packed


def an_array(dtype: Any, shape: Any, order: Any = "C", data: Any = b"") -> bytes:
    return extension(Ext.ARRAY, msgpack.packb([dtype, shape, order, data]))


def a_list(count: int, item: bytes) -> bytes:
    return b"\xdd" + count.to_bytes(4) + item * count


def a_map(keys: list[bytes]) -> bytes:
    return b"\xdf" + len(keys).to_bytes(4) + b"".join(key + b"\xc0" for key in keys)


def nested(depth: int, inside: bytes) -> bytes:
    for _ in range(depth):
        inside = extension(Ext.USER, b"\x92\xa4box5" + inside)
    return inside


def keys_of_one_hash() -> bytes:
    numbers = [((2**61 - 1) * (2**70 + i)).to_bytes(18, "big") for i in range(30_000)]  # each has the hash 0
    return a_map([extension(Ext.INTEGER, number) for number in numbers])


_WIDE = extension(Ext.INTEGER, b"\x7f" * 1_000_000)

# Made when they are needed: other tests are collected beside these.
_REFUSED: dict[str, Callable[[], tuple[bytes, tuple[bytes, ...], str]]] = {
    "many dimensions": lambda: (an_array("<f8", [2**64 - 1] * 100_000), (), "at most 64 sizes"),
    "many dimensions of nothing": lambda: (an_array("<f8", [0] * 100_000), (), "at most 64 sizes"),
    "sizes beyond 64 bits": lambda: (
        extension(Ext.ARRAY, b"\x94\xa3<f8\xdc\x00\x08" + _WIDE * 8 + b"\xa1C\xc4\x00"), (), "sizes are whole numbers",
    ),
    "many fields": lambda: (an_array([[f"f{i}", "|u1"] for i in range(200_000)], [0]), (), "longer than"),
    "a long list of kinds": lambda: (an_array("i4," * 200_000 + "i4", [0]), (), "longer than"),
    "one buffer many times": lambda: (a_list(1000, b"\xd4\x03\x00"), (bytes(1 << 20),), "names its buffer 0 twice"),
    "one buffer in many arrays": lambda: (
        a_list(1000, an_array("|u1", [1 << 20], "C", 0)), (bytes(1 << 20),), "names its buffer 0 twice",
    ),
    "keys of one hash": lambda: (keys_of_one_hash(), (), "have the same hash"),
    "keys of one hash within a type": lambda: (
        nested(1, keys_of_one_hash()), (), "have the same hash",
    ),
    "deep extensions": lambda: (nested(40, b"\xc0"), (), "nested more than 32 deep"),
    "deep lists": lambda: (b"\x91" * 100_000 + b"\xc0", (), "decoded"),
    "deep maps": lambda: (b"\x81\xc0" * 100_000 + b"\xc0", (), "decoded"),
}  # fmt: skip

_TAKEN: dict[str, Callable[[], bytes]] = {
    "empty maps": lambda: a_list(1 << 18, b"\x80"),
    "empty lists": lambda: a_list(1 << 18, b"\x90"),
    "nothing": lambda: a_list(1 << 18, b"\xc0"),
    "short texts": lambda: a_list(1 << 18, b"\xa2ab"),
    "moments": lambda: a_list(1 << 16, b"\xd6\xff\0\0\0\1"),
    "integers": lambda: a_list(1 << 18, b"\xcd\xff\xff"),
    "wide integers": lambda: a_list(1 << 16, extension(Ext.INTEGER, b"\x7f" * 9)),
    "one wide integer": lambda: _WIDE,
    "arrays": lambda: a_list(1 << 13, an_array("<f8", [1], "C", bytes(8))),
    "maps": lambda: a_list(1 << 16, b"\x81\xa1a\x01"),
    "maps of wide integers": lambda: a_list(1 << 14, a_map([extension(Ext.INTEGER, b"\x7f" * 9)])),
    "wide keys": lambda: a_map([extension(Ext.INTEGER, bytes([1]) + i.to_bytes(8)) for i in range(1 << 15)]),
    "nested types around much": lambda: nested(31, b"\xc6" + (1 << 20).to_bytes(4) + bytes(1 << 20)),
    "many types": lambda: a_list(1 << 14, nested(1, b"\xc0")),
}


@pytest.fixture
def box5() -> None:
    codec.register(type("Box5", (), {}), name="box5", encode=lambda value: None, decode=lambda value: value)


@pytest.mark.parametrize("shape", _REFUSED)
def test_messages_that_cost_more_than_their_bytes_are_refused(shape: str, box5: None) -> None:
    body, buffers, reason = _REFUSED[shape]()
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match=reason):
            codec.decode(body, buffers)
        assert tracemalloc.get_traced_memory()[1] < 80 * (len(body) + sum(map(len, buffers))) + (64 << 10)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", _TAKEN)
def test_no_message_takes_more_memory_than_is_documented(shape: str, box5: None) -> None:
    body = _TAKEN[shape]()
    tracemalloc.start()
    try:
        codec.decode(body)
        assert tracemalloc.get_traced_memory()[1] < 80 * len(body) + (64 << 10)
    finally:
        tracemalloc.stop()
