"""Values of Python's own types and of registered ones, nested at will; and what it means that two are equal."""

import math
from collections import Counter, OrderedDict, defaultdict
from datetime import datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.support.notation import same
from tests.support.registered import Colour, Level, Pair, Permission, Tree

__all__ = ["equal", "natives"]

# Python reads no offset of less than a second back from text.
_offsets = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).filter(
    lambda offset: not offset or abs(offset) >= timedelta(seconds=1)
)
_zones = (
    st.none()
    | st.timezones().filter(lambda zone: zone.key.isascii())
    | st.builds(timezone, _offsets)
    | st.builds(timezone, _offsets, st.text(min_size=1, max_size=5))
)
_names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
_hashable: SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=9)
    | st.binary(max_size=9)
    | st.complex_numbers(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.dates()
    | st.times(timezones=st.none())
    | st.datetimes(timezones=_zones)
    | st.timedeltas()
    | st.builds(Path, _names)
    | st.builds(PurePosixPath, _names)
    | st.builds(PureWindowsPath, _names)
    | st.sampled_from([*Colour, *Level, Permission(0), Permission(3)])
    | st.integers(-9, 9).map(np.int64),
    lambda inner: (
        st.tuples(inner) | st.tuples(inner, inner) | st.frozensets(inner, max_size=3) | st.builds(Pair, inner, inner)
    ),
    max_leaves=5,
)
natives: SearchStrategy[Any] = st.recursive(
    _hashable | st.sets(_hashable, max_size=4) | st.dictionaries(_hashable, st.integers(), max_size=4).map(Counter),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(st.tuples(st.integers(), st.text(max_size=3)), max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(_hashable, inner, max_size=4)
        | st.dictionaries(_hashable, inner, max_size=4).map(OrderedDict)
        | st.dictionaries(_hashable, inner, max_size=4).map(lambda values: defaultdict(list, values))
        | st.builds(Pair, inner, inner)
        | st.builds(Tree, inner, st.tuples(inner))
    ),
    max_leaves=12,
)


def equal(one: Any, other: Any) -> bool:
    """Return whether two values are equal in kind, in their zones and in the order of keys too."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, set | frozenset):
        kinds = [sorted(map(repr, map(type, members))) for members in (one, other)]
        return bool(one == other) and kinds[0] == kinds[1]
    if isinstance(one, dict):
        factories = [getattr(values, "default_factory", None) for values in (one, other)]
        return factories[0] is factories[1] and equal(list(one.items()), list(other.items()))
    if isinstance(one, Tree):
        return equal([one.value, one.children, one.names], [other.value, other.children, other.names])
    if isinstance(one, datetime | time):
        fields = [(when.replace(tzinfo=None), when.fold, when.tzinfo, when.tzname()) for when in (one, other)]
        return fields[0] == fields[1]
    if isinstance(one, complex) and not isinstance(one, np.generic):
        return all(map(same, (one.real, one.imag), (other.real, other.imag)))
    if isinstance(one, Decimal):  # which compares neither signs of zeros nor signalling NaNs
        return str(one) == str(other)
    return (isinstance(one, float) and math.isnan(one)) or same(one, other)
