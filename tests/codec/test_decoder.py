import subprocess
import sys
import threading
from datetime import UTC, datetime
from typing import Any

import msgpack
import numpy as np
import pytest

from aioparcs import Address, DecodeError, codec
from aioparcs.codec import Ext
from aioparcs.codec.types import MAX_EXT_DEPTH

# Containers within containers that the MessagePack library itself takes.
LIBRARY_DEPTH = 1024


class Wrapper:
    def __init__(self, value: Any) -> None:
        self.value = value


codec.register(Wrapper, encode=lambda wrapper: wrapper.value, decode=Wrapper)


def extension(code: int, data: bytes) -> bytes:
    return bytes(msgpack.packb(msgpack.ExtType(code, data)))


def python(code: str) -> str:
    """Run a program in a fresh interpreter; returns what it printed."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# Depth


@pytest.mark.parametrize("opener", [b"\x91", b"\x81\xa1a"], ids=["lists", "maps"])
def test_containers_nest_to_the_librarys_limit(opener: bytes) -> None:
    value = codec.decode(opener * (LIBRARY_DEPTH - 1) + b"\x00")
    for _ in range(LIBRARY_DEPTH - 1):
        value = value[0 if type(value) is list else "a"]
    assert value == 0
    with pytest.raises(DecodeError):
        codec.decode(opener * (LIBRARY_DEPTH + 1) + b"\x00")


@pytest.mark.parametrize("count", [10**4, 10**6])
def test_a_hostile_depth_is_a_decode_error(count: int) -> None:
    for opener in (b"\x91", b"\x81\x00", b"\xdd\x00\x00\x00\x01", b"\x81\x91"):
        with pytest.raises(DecodeError):
            codec.decode(opener * count)


def nested_wrappers(count: int) -> bytes:
    body = b"\xc0"
    for _ in range(count):
        body = extension(Ext.USER, b"\x92\xa7Wrapper" + body)
    return body


def test_extensions_nest_to_the_limit() -> None:
    value = codec.decode(nested_wrappers(MAX_EXT_DEPTH))
    for _ in range(MAX_EXT_DEPTH):
        value = value.value
    assert value is None


@pytest.mark.parametrize("count", [MAX_EXT_DEPTH + 1, 500])
@pytest.mark.parametrize("buffers", [(), (b"",)], ids=["no buffers", "buffers"])
def test_extensions_nest_no_deeper(count: int, buffers: tuple[bytes, ...]) -> None:
    with pytest.raises(DecodeError, match=f"nested more than {MAX_EXT_DEPTH} deep"):
        codec.decode(nested_wrappers(count), buffers)


def test_nested_lists_in_nested_extensions_do_not_crash() -> None:
    body = b"\xc0"
    for _ in range(MAX_EXT_DEPTH):
        body = extension(Ext.USER, b"\x92\xa7Wrapper" + b"\x91" * 900 + body)
    assert type(codec.decode(body)) is Wrapper


def test_depth_is_reset_after_an_error_and_between_siblings() -> None:
    for _ in range(3):
        with pytest.raises(DecodeError, match="deep"):
            codec.decode(nested_wrappers(MAX_EXT_DEPTH + 1))
    many = codec.decode(b"\x92" + nested_wrappers(MAX_EXT_DEPTH) * 2)
    assert [type(wrapper) for wrapper in many] == [Wrapper, Wrapper]


def test_threads_decode_without_counting_each_others_depth() -> None:
    body, errors = nested_wrappers(MAX_EXT_DEPTH), []

    def decode() -> None:
        try:
            for _ in range(200):
                codec.decode(body)
        except DecodeError as error:
            errors.append(error)

    threads = [threading.Thread(target=decode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


# Errors


def test_the_text_of_an_error_never_quotes_the_message() -> None:
    with pytest.raises(DecodeError, match="extra data") as caught:
        codec.decode(msgpack.packb("x" * 100_000) + b"\x00")
    assert len(str(caught.value)) < 100


def test_a_value_that_cant_be_quoted_is_a_decode_error() -> None:
    no_character = np.array([0x110000], "<u4").tobytes()  # NumPy can't make a str of it
    array = extension(Ext.ARRAY, msgpack.packb(["<U1", [1], "C", no_character]))
    for body in (array + b"\x00", extension(Ext.BYTES, array), b"\x81" + array + b"\x00"):
        with pytest.raises(DecodeError):
            codec.decode(body)
    with pytest.raises(DecodeError):
        codec.decode(extension(Ext.ARRAY, msgpack.packb(["<U1", [], "S", no_character])))


def test_a_description_nested_a_thousand_deep_is_a_decode_error() -> None:
    hostile = b"\x91" * 1000 + b"\xa1i"
    with pytest.raises(DecodeError):
        codec.decode(extension(Ext.ARRAY, b"\x94" + hostile + b"\x91\x01\xa1C\xc4\x01\x00"))
    with pytest.raises(DecodeError):
        codec.decode_raw(b"\x93" + hostile + b"\x91\x01\xa1C", b"\x00")


def test_a_decode_error_keeps_its_cause() -> None:
    with pytest.raises(DecodeError) as caught:
        codec.decode(b"\x81\x90\x00")
    assert isinstance(caught.value.__cause__, TypeError)


# Memory


def test_buffers_are_allocated_by_numpy_only_where_it_is_loaded() -> None:
    assert type(codec.allocate(1, 9)) is np.ndarray
    assert codec.allocate(1, 9).nbytes == 9
    assert python("from aioparcs import codec; print(type(codec.allocate(1, 9)).__name__)") == "bytearray"


def test_any_bytes_like_body_is_decoded() -> None:
    body, buffers = codec.encode_inline({"a": [b"x" * codec.OUT_OF_BAND]})
    for kind in (bytes, bytearray, memoryview, lambda data: np.frombuffer(data, "u1")):
        assert codec.decode(kind(body), buffers) == {"a": [b"x" * codec.OUT_OF_BAND]}
        assert codec.decode_json(kind(b"[1]")) == [1]


# NumPy is optional


def test_numpy_is_never_imported_to_encode() -> None:
    program = """
import sys
import aioparcs
from aioparcs import codec
from datetime import datetime, UTC
value = {"a": [1, 2**70, 1.5, None, b"x" * 9000, datetime.now(UTC), aioparcs.Address("tcp", "h")]}
raw, body, buffers = codec.encode(value)
assert codec.decode(body, tuple(map(bytes, buffers))) == value
codec.encode(b"x" * 9000), codec.encode_json([1])
try:
    codec.encode([object()])
except aioparcs.EncodeError:
    print("numpy" in sys.modules)
"""
    assert python(program) == "False"


@pytest.mark.slow
@pytest.mark.parametrize("value", [np.ones(3), np.datetime64(1, "s"), np.ones(2000), [np.ones(2000)]])
def test_an_array_without_numpy_names_what_to_install(value: Any) -> None:
    raw, body, buffers = codec.encode(value)
    program = f"""
import sys
sys.modules["numpy"] = None  # an import of it fails
from aioparcs import DecodeError, codec
body, buffers = {body!r}, {tuple(map(bytes, buffers))!r}
try:
    codec.decode_raw(body, buffers[0]) if {raw} else codec.decode(body, buffers)
except DecodeError as error:
    print(error)
"""
    assert "NumPy is not installed here: install aioparcs[numpy]" in python(program)


@pytest.mark.slow
def test_an_array_loads_numpy_when_it_arrives() -> None:
    body, _ = codec.encode_inline(np.arange(3))
    program = f"""
import sys
from aioparcs import codec
assert "numpy" not in sys.modules
print(codec.decode({body!r}).tolist())
"""
    assert python(program) == "[0, 1, 2]"


# Kinds


def test_an_address_arrives_as_one() -> None:
    address = Address("tcp", "h", 1, 2, "ab")
    (received,) = codec.decode(codec.encode_inline([address])[0])
    assert type(received) is Address
    assert received == address


def test_datetimes_arrive_in_utc() -> None:
    received = codec.decode(codec.encode(datetime(2024, 1, 1, tzinfo=UTC))[1])
    assert received.tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [np.bool_(True), np.int8(-1), np.uint64(2**64 - 1), np.float16(0.5), np.float64(1.5), np.complex64(1 + 2j),
     np.complex128(-1j), np.str_("één"), np.bytes_(b"abc"), np.array(7, ">i4")[()], np.array("é", ">U3")[()]],
    ids=lambda value: f"{value.dtype}",
)  # fmt: skip
def test_a_scalar_without_numpy_is_a_plain_value(monkeypatch: pytest.MonkeyPatch, value: Any) -> None:
    body, buffers = codec.encode_inline([value])
    monkeypatch.setitem(sys.modules, "numpy", None)
    (received,) = codec.decode(body, buffers)
    assert type(received) in (bool, int, float, complex, str, bytes)
    assert received == value.item()


def test_memory_that_a_peer_announces_is_not_touched_before_it_sends() -> None:
    program = """
import resource, sys
from aioparcs import codec
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
memory = codec.allocate(2, 4 << 30)
assert "numpy" not in sys.modules
view = memoryview(memory).cast("B")
view[:3] = b"abc"
print(len(memory), bytes(memory[:3]), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < 10_000)
"""
    assert python(program) == f"{4 << 30} b'abc' True"
