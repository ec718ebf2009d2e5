"""Vectors and properties of the codec as a whole; what one direction does alone is in the files beside."""

import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioparcs import DecodeError, EncodeError, codec
from aioparcs.settings import MAX_BUFFER_COUNT
from tests.support.notation import Vector, each, expand, load, same, value_of
from tests.support.strategies import arrays, mutated, property_test, scalars, values

_vectors = load("values")
_canonical = [vector for vector in _vectors if vector.get("canonical", True)]
_bad_messages = [vector for vector in load("invalid") if "body" in vector]


def buffers_of(vector: Vector) -> tuple[bytes, ...]:
    return tuple(map(expand, vector.get("buffers", [])))


def decode(raw: bool, body: bytes, buffers: tuple[Any, ...]) -> Any:
    # As they arrive: large buffers in memory that can be written to.
    received = tuple(bytearray(buffer) for buffer in buffers)
    return codec.decode_raw(body, received[0]) if raw else codec.decode(body, received)


def arrived(value: Any) -> Any:
    """What the wire makes of a value."""
    if type(value) in (list, tuple):
        return type(value)(arrived(inner) for inner in value)
    if type(value) is dict:
        return {key: arrived(inner) for key, inner in value.items()}
    return bytes(value) if isinstance(value, bytearray | memoryview) else value


# The vectors


@each(_canonical)
def test_a_value_is_encoded_as_its_vector_says(vector: Vector) -> None:
    raw, body, buffers = codec.encode(value_of(vector["value"]))
    assert raw == vector.get("raw", False)
    assert body.hex() == expand(vector["body"]).hex()
    assert tuple(map(bytes, buffers)) == buffers_of(vector)


@pytest.mark.slow
@each(_vectors)
def test_a_value_is_decoded_as_its_vector_says(vector: Vector) -> None:
    value = decode(vector.get("raw", False), expand(vector["body"]), buffers_of(vector))
    assert same(value, value_of(vector["value"]))


@pytest.mark.slow
@each(_bad_messages)
def test_a_bad_message_is_a_decode_error(vector: Vector) -> None:
    with pytest.raises(DecodeError, match=vector.get("says")):
        decode(vector.get("raw", False), expand(vector["body"]), buffers_of(vector))


# Any value there and back


@pytest.mark.slow
@property_test
@given(values)
def test_any_value_comes_back(value: Any) -> None:
    assert same(decode(*codec.encode(value)), arrived(value))


@pytest.mark.slow
@property_test
@given(values)
def test_any_value_comes_back_from_a_call(value: Any) -> None:
    assert same(decode(False, *codec.encode_inline([1, "name", (value,), {"key": value}])), arrived_call(value))


def arrived_call(value: Any) -> list[Any]:
    return [1, "name", (arrived(value),), {"key": arrived(value)}]


@property_test
@given(st.lists(scalars, max_size=8))
def test_the_fast_path_of_flat_lists_encodes_as_the_general_one(scalars: list[Any]) -> None:
    assert codec.encode(scalars) == (False, *codec.encode_inline(scalars))


@pytest.mark.slow
@property_test
@given(arrays())
def test_any_array_comes_back(array: Any) -> None:
    assert same(decode(*codec.encode(array)), array)


@pytest.mark.slow
@property_test
@given(st.lists(arrays(), max_size=3))
def test_nested_arrays_come_back(some: list[Any]) -> None:
    received = decode(*codec.encode({"some": some, "repeated": [array for array in some for _ in range(2)]}))
    assert same(received["some"], some)
    assert all(array.flags.writeable for array in received["some"] if isinstance(array, np.ndarray))


@property_test
@given(st.sampled_from(["<f8", ">i2", "U3", "M8[us]"]), st.permutations(range(3)), st.integers(1, 3))
def test_large_arrays_come_back_in_any_order_and_stride(kind: str, axes: list[int], step: int) -> None:
    dtype = np.dtype(kind)
    array = np.arange(20 * 30 * 40 * dtype.itemsize, dtype="u1").view("u1")
    array = np.where(np.arange(array.size) % 4 == 0, array, 0).astype("u1").view(dtype)
    array = array.reshape(20, 30, 40).transpose(axes)[::step, ::-1]
    received = decode(*codec.encode(array))
    assert received.dtype == array.dtype
    assert received.shape == array.shape
    assert received.tobytes() == array.tobytes()


# Any bytes in


def _inline(value: Any) -> bytes:
    body, _ = codec.encode_inline(value)
    return body


_bodies = (values | arrays() | st.lists(arrays(), max_size=3)).map(_inline)
_buffers = st.lists(st.binary(max_size=16), max_size=3).map(tuple)


@pytest.mark.slow
@property_test
@given(mutated(_bodies) | st.binary(max_size=64), _buffers)
def test_a_mutated_message_gives_a_value_or_a_decode_error(body: bytes, buffers: tuple[bytes, ...]) -> None:
    try:
        codec.decode(body, buffers)
    except DecodeError:
        pass


@pytest.mark.slow
@property_test
@given(mutated(arrays().map(lambda array: codec.encode([array])[1][4:])) | st.binary(max_size=40), st.binary())
def test_a_mutated_description_gives_a_value_or_a_decode_error(body: bytes, buffer: bytes) -> None:
    try:
        codec.decode_raw(body, buffer)
    except DecodeError:
        pass


@property_test
@given(st.binary(max_size=50) | mutated(st.sampled_from([b'{"a": [1, 2.5, "x"]}', b'["\\ud800"]', b"\xff\xfe1\x00"])))
def test_mutated_json_gives_a_value_or_a_decode_error(body: bytes) -> None:
    try:
        codec.decode_json(body)
    except DecodeError:
        pass


@pytest.mark.slow
@property_test
@given(mutated(_bodies), _buffers)
def test_a_mutated_message_takes_memory_in_proportion(body: bytes, buffers: tuple[bytes, ...]) -> None:
    tracemalloc.start()
    try:
        codec.decode(body, buffers)
    except DecodeError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # A list's header may announce as many elements as the message has bytes, in each of the lists within.
    assert peak < 200_000 + 1000 * len(body)


def test_json_there_and_back() -> None:
    value = {"n": 28, "list": [1.5, None, True, "é"]}
    assert codec.decode_json(codec.encode_json(value)) == value


@pytest.mark.parametrize("body", [b"", b"{", b"[1,", b"\xff", b"1 2", b'{"a" 1}', b"[" * 100_000])
def test_bad_json_is_a_decode_error(body: bytes) -> None:
    with pytest.raises(DecodeError, match="not JSON"):
        codec.decode_json(body)


# Buffers


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_large_bytes_alone_are_a_raw_message_that_is_not_copied(kind: Any) -> None:
    value = kind(b"x" * codec.OUT_OF_BAND)
    raw, body, buffers = codec.encode(value)
    assert raw
    assert not body
    assert buffers[0].obj is (value.obj if kind is memoryview else value)


def test_a_large_array_is_not_copied() -> None:
    array = np.zeros((64, 64))
    for laid_out in (array, array.T, array.astype(">f8"), np.zeros(2000, "M8[s]")):
        _, _, (view,) = codec.encode(laid_out)
        assert np.shares_memory(np.asarray(view), laid_out)
        assert view.nbytes == laid_out.nbytes


def test_a_large_array_arrives_in_the_memory_that_it_was_received_into() -> None:
    _, body, (view,) = codec.encode(np.arange(2000.0))
    buffer = codec.allocate(2, view.nbytes)
    memoryview(buffer)[:] = view
    received = codec.decode_raw(body, buffer)
    assert np.shares_memory(received, np.asarray(buffer))
    assert received.flags.writeable


def test_buffers_beyond_the_limit_are_inline() -> None:
    body, buffers = codec.encode_inline([b"x" * codec.OUT_OF_BAND] * (MAX_BUFFER_COUNT + 1))
    assert len(buffers) == MAX_BUFFER_COUNT
    assert len(body) > codec.OUT_OF_BAND
    assert len(codec.decode(body, buffers)) == MAX_BUFFER_COUNT + 1


def test_memory_that_is_not_contiguous_is_copied() -> None:
    every_second = memoryview(bytes(range(256)) * 100)[::2]
    assert decode(*codec.encode(every_second)) == bytes(every_second)
    assert decode(*codec.encode([every_second])) == [bytes(every_second)]


def test_a_datetime_far_from_the_epoch_keeps_its_microseconds() -> None:
    for text in ("0001-01-01T00:00:00.000001+00:00", "9999-12-31T23:59:59.999999+00:00", "2024-01-01T01:00:00Z"):
        moment = datetime.fromisoformat(text)
        assert decode(*codec.encode(moment)) == moment


def test_an_error_of_the_codec_is_a_builtin_error_too() -> None:
    assert issubclass(EncodeError, TypeError)
    assert issubclass(DecodeError, ValueError)


# Several threads


@pytest.mark.slow
def test_threads_that_encode_at_once_do_not_mix_their_messages() -> None:
    values: list[Any] = [[1 << 200] * 50, list(range(200)), {"text": "x" * 100}, [(1 << 64, "é"), {"b": b"y" * 300}]]
    wanted = [codec.encode_result(1, True, value) for value in values]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            made = threads.map(lambda i: codec.encode_result(1, True, values[i % 4]) == wanted[i % 4], range(4000))
            assert all(made)
    finally:
        sys.setswitchinterval(before)
