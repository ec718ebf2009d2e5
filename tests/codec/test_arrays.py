from typing import Any

import msgpack
import numpy as np
import pytest

from aioparcs import DecodeError, EncodeError, codec
from aioparcs.codec import Ext, arrays


def described(*description: Any) -> bytes:
    return bytes(msgpack.packb(msgpack.ExtType(Ext.ARRAY, msgpack.packb(description))))


@pytest.mark.slow
@pytest.mark.parametrize(
    "value, expected",
    [
        (np.ones(1), True),
        (np.float64(1), True),
        (np.bool_(1), True),
        (1.0, False),
        ([1], False),
        (np.dtype("i4"), False),
    ],
)
def test_is_array_is_true_for_arrays_and_scalars_only(value: Any, expected: bool) -> None:
    assert arrays.is_array(value) is expected


@pytest.mark.parametrize(
    "array, order",
    [
        (np.ones((2, 3)), "C"),
        (np.ones((2, 3), order="F"), "F"),
        (np.ones((2, 3)).T, "F"),
        (np.ones((4, 3))[::2], "C"),
        (np.ones(3), "C"),
        (np.ones(()), "C"),
        (np.float32(1), "S"),
        (np.broadcast_to(np.ones(3), (4, 3)), "C"),
    ],
)
def test_the_order_is_chosen_to_avoid_a_copy(array: Any, order: str) -> None:
    _, shape, sent_order, data = arrays.take_apart(array, "$")
    assert (sent_order, shape, data.nbytes) == (order, list(array.shape), array.nbytes)


@pytest.mark.parametrize(
    "array", [np.zeros((0, 3)), np.zeros((2, 0), order="F"), np.zeros(0, [("a", "i4")]), np.zeros(3, "V0")]
)
def test_an_array_without_bytes_keeps_its_shape_and_dtype(array: Any) -> None:
    received = codec.decode(codec.encode_inline(array)[0])
    assert (received.shape, received.dtype) == (array.shape, array.dtype)


def test_an_empty_field_of_a_dtype_is_kept() -> None:
    array = np.zeros(3, [("a", "S0"), ("b", "i4")])["a"]
    received = codec.decode(codec.encode_inline(array)[0])
    assert (received.shape, received.dtype) == ((3,), np.dtype("S0"))


_NOTED = np.dtype("i4", metadata={"unit": "m"})


@pytest.mark.slow
@pytest.mark.parametrize(
    "value, reason",
    [
        (np.str_("a\0"), r"NumPy str scalar that ends in NUL, which NumPy drops; send str\(value\)"),
        (np.bytes_(b"\0"), r"NumPy bytes scalar that ends in NUL, which NumPy drops; send bytes\(value\)"),
        (np.zeros(2, _NOTED), r"dtype int32 with metadata, which would be lost; send array.astype\(\)"),
        (np.zeros(2, [("a", "i1"), ("b", [("c", (_NOTED, (2,)))])]), "with metadata, which would be lost"),
        (np.zeros(5000, _NOTED), "with metadata, which would be lost"),
    ],
)
def test_what_numpy_would_drop_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(EncodeError, match=rf"^\$\.a\[1\]: .*{reason}"):
        codec.encode({"a": [0, value]})


def test_a_scalar_keeps_a_nul_within_it() -> None:
    for value in (np.str_("a\0b"), np.bytes_(b"\0b"), np.str_("")):
        received = codec.decode(codec.encode_inline(value)[0])
        assert (type(received), received) == (type(value), value)


def test_a_memmap_travels_as_an_array(tmp_path: Any) -> None:
    file = np.memmap(tmp_path / "data", "i4", "w+", shape=(3, 2))
    file[:] = 7
    received = codec.decode(codec.encode_inline(file)[0])
    assert type(received) is np.ndarray
    assert received.tolist() == [[7, 7]] * 3


def test_a_read_only_array_arrives_writable() -> None:
    array = np.arange(5)
    array.flags.writeable = False
    received = codec.decode(codec.encode_inline(array)[0])
    received[0] = 9
    assert received.tolist() == [9, 1, 2, 3, 4]


def test_a_dtype_with_gaps_keeps_them() -> None:
    dtype = np.dtype({"names": ["a", "b"], "formats": ["u1", "<u4"], "offsets": [0, 4], "itemsize": 12})
    array = np.zeros(2, dtype)
    array["b"] = [1, 2]
    received = codec.decode(codec.encode_inline(array)[0])
    assert received.dtype == dtype
    assert received["b"].tolist() == [1, 2]


def test_a_dtype_with_overlapping_fields_cannot_be_sent() -> None:
    overlapping = np.dtype({"names": ["a", "b"], "formats": ["<u4", "u1"], "offsets": [0, 0]})
    with pytest.raises(EncodeError, match=r"\$\.x: an array of dtype"):
        codec.encode({"x": np.zeros(1, overlapping)})


# A description never costs more memory than its data has.


@pytest.mark.parametrize(
    "shape", [[1 << 40], [1 << 20, 1 << 20], [1 << 62, 1 << 62], [3], [-1], [-3, -1], [2, True], ["a"], 3, None]
)
@pytest.mark.parametrize("data", [b"", b"\x00\x00"])
def test_a_shape_that_doesnt_fit_its_data_is_a_decode_error(shape: Any, data: bytes) -> None:
    with pytest.raises(DecodeError, match="cannot be decoded"):
        codec.decode(described("|u1", shape, "C", data))


_no_dtypes: list[Any] = [
    *("|O", "T", "<q9", "", "(2,3)i4", "V2147483648", "a,b,c", b"i4", 5, None, True, {"a": 1}),
    *([["a", "|O"]], [["a", [["b", "|O"]]]], [[]], [["a"]], ["i4"], [["a", "i4", 5]], [[5, "i4"]]),
    [["a", "i4"], ["a", "i4"]],
]


@pytest.mark.parametrize("dtype", _no_dtypes)
def test_an_invalid_dtype_is_a_decode_error(dtype: Any) -> None:
    with pytest.raises(DecodeError, match="cannot be decoded"):
        codec.decode(described(dtype, [1], "C", b"\x00" * 8))
    with pytest.raises(DecodeError, match="cannot be decoded"):
        codec.decode_raw(msgpack.packb([dtype, [1], "C"]), b"\x00" * 8)


@pytest.mark.parametrize("order", ["c", "A", "", "CF", None, 0, ["C"]])
def test_an_invalid_order_is_a_decode_error(order: Any) -> None:
    with pytest.raises(DecodeError, match="the order is C, F, or S"):
        codec.decode(described("|u1", [1], order, b"\x00"))


def test_too_many_dimensions_are_a_decode_error() -> None:
    with pytest.raises(DecodeError):
        codec.decode(described("|u1", [1] * 1000, "C", b"\x00"))
