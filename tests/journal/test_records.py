"""Records of journals as bytes: what is written is read, and what is damaged is noticed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioparcs.journal.records import (
    HEAD_SIZE,
    KEY_SIZE,
    FunctionRecord,
    Head,
    ResultHead,
    decode_value,
    encode_function,
    encode_result,
    encode_small_results,
    read_head,
    read_payload,
)
from tests.support.notation import same
from tests.support.strategies import property_test, values

keys = st.binary(min_size=KEY_SIZE, max_size=KEY_SIZE)
numbers = st.integers(0, 2**32 - 1)


def _split(pieces: list[Any]) -> tuple[Head, bytes]:
    data = b"".join(pieces)
    head = read_head(data[:HEAD_SIZE])
    assert head is not None
    assert len(data) == HEAD_SIZE + head.size
    return head, data[HEAD_SIZE:]


@pytest.mark.slow
@property_test
@given(numbers, keys, st.floats(allow_nan=False), values)
def test_a_result_is_read_as_it_was_written(function: int, key: bytes, time: float, value: Any) -> None:
    head, payload = _split(encode_result(function, key, time, value))
    record = read_payload(head, payload)
    assert isinstance(record, ResultHead)
    assert (record.function, record.key, record.time) == (function, key, time)
    assert same(decode_value(payload[record.value_at :]), value)
    small = encode_small_results(function, time, [key], [value])
    assert small in (None, [b"".join(encode_result(function, key, time, value))])


def test_scalars_and_short_lists_of_them_are_encoded_at_once() -> None:
    values: list[Any] = [None, 7, "text", 0.5, [1, "a"], {"a": 1}, "x" * 4000]
    keys = [bytes([number]) * KEY_SIZE for number in range(len(values))]
    records = encode_small_results(3, 0.5, keys, values)
    assert records == [b"".join(encode_result(3, *one)) for one in zip(keys, [0.5] * len(keys), values, strict=True)]
    for other in "x" * 5000, 1 << 70, (1,):
        assert encode_small_results(3, 0.5, keys[:2], [7, other]) is None


@property_test
@given(numbers, st.text(), st.binary())
def test_a_function_is_read_as_it_was_written(number: int, name: str, version: bytes) -> None:
    record = FunctionRecord(number, name, version)
    assert read_payload(*_split(encode_function(record))) == record


@pytest.mark.slow
@property_test
@given(keys, values, st.data())
def test_a_changed_bit_is_noticed(key: bytes, value: Any, data: st.DataObject) -> None:
    record = bytearray(b"".join(encode_result(0, key, 0.0, value)))
    bit = data.draw(st.integers(0, 8 * len(record) - 1))
    record[bit // 8] ^= 1 << bit % 8
    head = read_head(bytes(record[:HEAD_SIZE]))
    assert head is None or read_payload(head, bytes(record[HEAD_SIZE:])) is None


def test_results_are_in_memory_of_their_own() -> None:
    import numpy as np

    for value in (np.arange(5), np.arange(5000), [np.arange(5000)]):
        _, payload = _split(encode_result(0, bytes(KEY_SIZE), 0.0, value))
        read = decode_value(payload[29:])
        array = read[0] if isinstance(read, list) else read
        array[0] = 7
        assert array[0] == 7
