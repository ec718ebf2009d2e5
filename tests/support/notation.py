"""Reads tests/vectors/*.json; that folder's README.md says how they note what JSON can't hold."""

import json
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aioparcs import Address, codec
from aioparcs.codec.natives import make

__all__ = ["Vector", "each", "expand", "load", "same", "value_of"]

Vector = dict[str, Any]

_FOLDER = Path(__file__).parents[1] / "vectors"
# The type that the vectors call "ratio": a numerator and a denominator.
codec.register(
    Fraction, name="ratio", encode=lambda v: [v.numerator, v.denominator], decode=lambda values: Fraction(*values)
)


def load(name: str) -> list[Vector]:
    """Read the vectors of one file; each has a name."""
    vectors: list[Vector] = json.loads((_FOLDER / f"{name}.json").read_text())["vectors"]
    return vectors


def each(vectors: list[Vector]) -> Callable[[Callable[[Vector], None]], Callable[[], None]]:
    """Run a test for vector after vector: it fails with the errors of all that are wrong, each under its name."""

    def decorate(test: Callable[[Vector], None]) -> Callable[[], None]:
        def try_each() -> None:
            errors = [error for vector in vectors if (error := _error_of(test, vector))]
            if errors:
                raise BaseExceptionGroup(f"{len(errors)} of {len(vectors)} vectors", errors)

        try_each.__name__ = test.__name__  # without `functools.wraps`, by which pytest would ask for a fixture `vector`
        try_each.__module__ = test.__module__
        return try_each

    return decorate


def _error_of(test: Callable[[Vector], None], vector: Vector) -> BaseException | None:
    try:
        test(vector)
    except (Exception, pytest.fail.Exception) as error:  # the latter is how `pytest.raises` fails
        error.add_note(f"of the vector {vector['name']!r}")
        return error
    return None


def expand(text: str) -> bytes:
    """Return the bytes of groups of hex digits, each perhaps with the number of times that it is repeated."""
    groups = (group.partition("*") for group in text.split())
    return b"".join(bytes.fromhex(digits) * int(count or 1) for digits, _, count in groups)


def value_of(noted: Any) -> Any:
    """Return the value that a vector notes."""
    if isinstance(noted, list):
        return [value_of(value) for value in noted]
    if isinstance(noted, dict):
        kind, argument = next(iter(noted.items()), ("", None))
        return _KINDS[kind](argument) if kind in _KINDS else {key: value_of(value) for key, value in noted.items()}
    return noted


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal in kind, in the sign of a zero and in the order of keys and of memory too."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray | np.generic):
        if (one.dtype, one.shape, one.flags.fnc) != (other.dtype, other.shape, other.flags.fnc):
            return False
        if one.dtype.char in "gG":  # long doubles have bytes without a meaning, which a copy may change
            with np.errstate(invalid="ignore"):  # NumPy's comparison warns of a complex NaN, on some platforms
                return bool(np.array_equal(one, other, equal_nan=True))
        return bool(one.tobytes() == other.tobytes())
    if isinstance(one, float):
        return struct.pack(">d", one) == struct.pack(">d", other)
    if type(one).__module__.startswith("polars."):
        return bool(one.equals(other)) and repr(one) == repr(other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one), list(other)) and same(list(one.values()), list(other.values()))
    return bool(one == other)


def _float(digits: str) -> float:
    number: float = struct.unpack(">d", bytes.fromhex(digits))[0]
    return number


def _array(noted: dict[str, Any]) -> Any:
    data, kind = expand(noted["data"]), np.dtype(_dtype(noted["dtype"]))
    flat = np.frombuffer(bytearray(data), kind) if data else np.ndarray(0, kind)
    if noted["order"] == "S":
        return flat[0]
    return flat.reshape(noted["shape"], order=noted["order"])


def _table(noted: list[Any]) -> Any:
    import polars  # which few tests need

    kind, columns = noted
    series = [polars.Series(name, values, getattr(polars, dtype)) for name, (dtype, values) in columns.items()]
    return polars.DataFrame(series) if kind == "polars.DataFrame" else series[0]


def _dtype(noted: Any) -> Any:
    if isinstance(noted, str):
        return noted
    return [
        (tuple(name) if isinstance(name, list) else name, _dtype(kind), *map(tuple, shape))
        for name, kind, *shape in noted
    ]


_KINDS: dict[str, Callable[[Any], Any]] = {
    "$int": int,
    "$float": _float,
    "$bytes": expand,
    "$map": lambda pairs: {value_of(key): value_of(value) for key, value in pairs},
    "$time": lambda text: datetime.fromisoformat(text).astimezone(UTC),
    "$array": _array,
    "$address": lambda fields: Address(*fields),
    "$tuple": lambda values: tuple(map(value_of, values)),
    "$python": lambda parts: make(parts[0], value_of(parts[1]), parts[2:]),
    "$table": _table,
    "$ratio": lambda text: Fraction(text),
}
