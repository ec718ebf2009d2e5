"""Hypothesis strategies for streams, frames and values, and the settings of every property test."""

import math
import struct
from collections.abc import Iterator
from datetime import UTC
from itertools import cycle
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from hypothesis.strategies import SearchStrategy

from aioparcs import Address
from aioparcs.wire import Frame, FrameType, encode_frame
from tests.support.deep import repeats

__all__ = ["arrays", "chunked", "chunks", "frames", "mutated", "property_test", "scalars", "stream_of", "values"]

# No deadline: the machine may be busy. Hypothesis itself takes fixed seeds where the environment has CI.
property_test = settings(deadline=None, max_examples=repeats(50, 1000), suppress_health_check=[HealthCheck.too_slow])

_WITH_BUFFERS = [FrameType.MSG, FrameType.CALL, FrameType.RESULT]
# Around what waits in the decoder's tail, and beyond one chunk.
_bodies = st.binary(max_size=24) | st.sampled_from([4095, 4096, 4097, 9000]).map(lambda size: b"\xab" * size)

frames: SearchStrategy[Frame] = st.one_of(
    st.builds(Frame, st.sampled_from([type for type in FrameType if type != FrameType.RAW]), _bodies, st.just(())),
    st.builds(Frame, st.sampled_from(_WITH_BUFFERS), _bodies, st.lists(_bodies, min_size=1, max_size=4).map(tuple)),
    st.builds(Frame, st.just(FrameType.RAW), _bodies, st.tuples(_bodies)),
)
chunks = st.lists(st.sampled_from([1, 2, 3, 7, 8, 9, 100, 5000, 100_000]), min_size=1, max_size=8)


def stream_of(sent: list[Frame]) -> bytes:
    """Return the stream that carries some frames."""
    return b"".join(piece for frame in sent for piece in encode_frame(*frame))


def chunked(stream: bytes, sizes: list[int]) -> Iterator[bytes]:
    """Cut a stream into chunks of some sizes, again and again until it ends; tiny ones only at its beginning."""
    position = 0
    for turn, size in enumerate(cycle(sizes)):
        if position >= len(stream):
            return
        size = size if turn < 64 else max(size, 1000)
        yield stream[position : position + size]
        position += size


@st.composite
def mutated(draw: st.DrawFn, originals: SearchStrategy[bytes]) -> bytes:
    """Change, drop, insert or cut a few bytes of an original."""
    data = bytearray(draw(originals))
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, len(data)))
        change = draw(st.sampled_from(["set", "insert", "delete", "cut"]))
        if change == "set":
            data[position : position + 1] = draw(st.binary(min_size=1, max_size=1))
        elif change == "insert":
            data[position:position] = draw(st.binary(min_size=1, max_size=9))
        elif change == "delete":
            del data[position : position + draw(st.integers(1, 9))]
        else:
            del data[position:]
    return bytes(data)


# Values

# Signalling NaNs are left out: moving one through a register may quieten it.
_floats = st.floats().filter(lambda number: not math.isnan(number) or _is_quiet(number))
_integers = st.integers() | st.integers(-(2**70), 2**70) | st.sampled_from([2**63, 2**64, -(2**63) - 1])
_moments = st.datetimes(timezones=st.just(UTC))
_texts = st.text(max_size=20)
_blobs = st.binary(max_size=20) | st.sampled_from([8191, 8192, 8193]).map(lambda size: b"\xcd" * size)
_addresses = st.builds(
    Address, st.sampled_from(["tcp", "unix"]), _texts, st.integers(0, 65535), st.integers(-1, 999), _texts
)
scalars: SearchStrategy[Any] = st.none() | st.booleans() | _integers | _floats | _texts


def _is_quiet(number: float) -> bool:
    return bool(struct.pack(">d", number)[1] & 8)


def _reorder(array: Any, how: str) -> Any:
    """Lay an array out in memory in another way; its content stays."""
    if how == "F":
        return np.asfortranarray(array)
    if how == "strided" and array.ndim:
        return np.repeat(array, 2, axis=0)[::2]
    if how == "transposed":
        return array.T
    return array


_lengths = {"min_len": 1, "max_len": 4}
_plain_dtypes = (
    npst.boolean_dtypes()
    | npst.integer_dtypes(endianness="?")
    | npst.unsigned_integer_dtypes(endianness="?")
    | npst.floating_dtypes(endianness="?")
    | npst.complex_number_dtypes(endianness="?")
    | npst.datetime64_dtypes(endianness="?")
    | npst.timedelta64_dtypes(endianness="?")
    | npst.byte_string_dtypes(endianness="?", **_lengths)
    | npst.unicode_string_dtypes(endianness="?", **_lengths)
    | st.sampled_from([np.dtype("V1"), np.dtype("V5"), np.dtype(np.longdouble), np.dtype(np.clongdouble)])
)
_dtypes = _plain_dtypes | npst.array_dtypes(_plain_dtypes, max_size=3, allow_subarrays=True)


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """Draw an array of any dtype, shape and layout, or a scalar, of any bits."""
    dtype, shape = draw(_dtypes), draw(npst.array_shapes(min_dims=0, min_side=0, max_dims=4, max_side=4))
    size = dtype.itemsize * math.prod(shape)
    pattern = draw(st.binary(min_size=1, max_size=16)) if dtype.kind not in "U" and dtype.names is None else b"\0"
    data = (pattern * (size // len(pattern) + 1))[:size]
    array = np.frombuffer(bytearray(data), dtype).reshape(shape) if size else np.ndarray(shape, dtype)
    layout = draw(st.sampled_from(["C", "F", "strided", "transposed", "scalar"]))
    if layout == "scalar":
        return array.reshape(-1)[0] if size else array
    return _reorder(array, layout)


_keys = _texts | _integers | st.binary(max_size=9)
_leaves = scalars | _blobs | _moments | _addresses | st.fractions()  # the last are `tests.support.notation`'s user type
values: SearchStrategy[Any] = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_keys, inner, max_size=5), max_leaves=20
)
