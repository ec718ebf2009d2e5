"""Digests of values: the same in each process, and different for values that are sent differently."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from aioparcs import EncodeError, codec
from tests.support import notation  # noqa: F401  # registers types
from tests.support.strategies import property_test, values

VALUES = """[
    {"a", "b", "c", b"d", 2**70, ("e", 1), frozenset({"f", "g"})},
    {"key": {"a", "b", "c"}},
    {b"x" * 9000, b"y" * 9000},
    [float("nan"), -0.0, 1.5, None],
]"""
PROGRAM = f"""
from aioparcs import codec
for value in {VALUES}:
    print(codec.digest(value).hex())
"""


@pytest.mark.slow
def test_the_order_of_sets_does_not_count() -> None:
    """The hashes of texts differ in each process, and with them the order of a set."""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM], env={"PYTHONHASHSEED": str(seed)}, capture_output=True, check=True
        ).stdout
        for seed in range(3)
    }
    assert len(outputs) == 1
    assert len(set(outputs.pop().split())) == 4


@pytest.mark.parametrize(
    "one, other",
    [
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        ("a", b"a"),
        ([1], (1,)),
        ({1}, frozenset({1})),
        ({1}, [1]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (b"x" * 9000, b"x" * 8999 + b"y"),
        (np.arange(3000), np.arange(1, 3001)),
        (np.zeros(3000, "f8"), np.zeros(3000, "i8")),
        (np.zeros((2, 3000)), np.zeros((3000, 2))),
    ],
    ids=str,
)
def test_values_that_are_sent_differently_have_other_digests(one: Any, other: Any) -> None:
    assert codec.digest(one) != codec.digest(other)
    assert codec.digest([one]) != codec.digest([other])


@pytest.mark.slow
@property_test
@given(values)
def test_a_digest_is_that_of_what_arrives(value: Any) -> None:
    is_raw, body, buffers = codec.encode(value)
    assert len(codec.digest(value)) == codec.DIGEST
    arrived = codec.decode_raw(body, bytearray(buffers[0])) if is_raw else codec.decode(body, buffers)
    assert codec.digest(arrived) == codec.digest(value)


@pytest.mark.parametrize("args", [(), (1, "a", None, 0.5), ([1], {2}), (1 << 70,), (np.arange(3000), b"x")], ids=str)
def test_the_arguments_of_a_call_have_the_digest_of_their_list(args: tuple[Any, ...]) -> None:
    assert codec.digest_arguments(args, {}) == codec.digest_arguments(list(args), {}) == codec.digest(list(args))
    kwargs = {"a": 1}
    assert codec.digest_arguments(args, kwargs) == codec.digest({"args": list(args), "kwargs": kwargs})


def test_what_cannot_be_sent_has_none() -> None:
    with pytest.raises(EncodeError, match=r"\$\.a\[1\]"):
        codec.digest({"a": [1, object()]})
