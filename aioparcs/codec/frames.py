"""
Tables of pandas as tables of Arrow, and back: what would arrive changed is refused by its sender.

Arrow knows columns better than labels and objects: it writes labels as text, and takes sets, tuples and lists for one
thing. So a table without rows makes the way back before the real one leaves, and so do all columns of objects.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

__all__ = ["from_arrow", "to_arrow"]

# Where the schema's metadata has what Arrow leaves out, in JSON: the frequencies of the index and of the labels, the
# attributes, as old versions know none, and the columns of objects whose missing values are "not a number", not None.
_DETAILS = b"aioparcs"
_AXES = frozenset({"index", "columns"})
# A column of one of these, and None, arrives as it is; others are compared.
_SURE = (str, bytes, bool)
_BY_VALUE = (str, bytes, bool, int, date, type(None))
# Equal ones may differ, in their zone or digits; "not a number" is unequal to itself.
_BY_TEXT = (float, datetime, time, timedelta)


def to_arrow(arrow: Any, frame: Any) -> Any:
    """
    Return a table of pandas as one of Arrow.

    Raises:
        ValueError: something in it would arrive changed; the message says what to do.
    """
    _check_extras(frame)
    table = arrow.Table.from_pandas(frame)
    details = {"nan": list(_check_objects(frame, table)), "attrs": frame.attrs, **_frequencies(frame)}
    if any(details.values()):
        table = table.replace_schema_metadata({**table.schema.metadata, _DETAILS: json.dumps(details)})
    if not _is_simple(frame):
        _check_kinds(frame, table)
        _check_index(frame)
    return table


def from_arrow(table: Any) -> Any:
    """Return the table of pandas that `to_arrow` made a table of."""
    frame = table.to_pandas()
    details = json.loads((table.schema.metadata or {}).get(_DETAILS, b"{}"))
    without = details.get("nan", [])
    for position in _objects(table):
        if position >= frame.shape[1]:
            break
        # Of some pandas makes a narrower column, and of lists it makes arrays.
        if (
            frame.dtypes.iloc[position] != "object"
            or table.schema.field(position).type.num_fields
            or position in without
        ):
            values = _plain(table.column(position), math.nan if position in without else None)
            frame.isetitem(position, sys.modules["pandas"].Series(values, index=frame.index, dtype=object))
    frame.attrs = details.get("attrs", frame.attrs)
    for axis in _AXES & details.keys():
        labels = getattr(frame, axis)
        labels.freq = details[axis]
        setattr(frame, axis, labels)
    return frame


def _plain(column: Any, missing: Any) -> Any:
    """Return the values of a column of Arrow as Python's own; ``missing`` for its nulls."""
    arrow = sys.modules["pyarrow"]
    if missing is None and (arrow.types.is_string(column.type) or arrow.types.is_large_string(column.type)):
        return column.to_numpy()  # the same in a tenth of the time
    return [missing if value is None else value for value in column.to_pylist()]


def _check_extras(frame: Any) -> None:
    """Raise ValueError for labels, names, attributes and flags that Arrow has no room for; it would warn, at most."""
    if type(frame.columns) is sys.modules["pandas"].Index and frame.columns.inferred_type.startswith("mixed"):
        raise ValueError(_label_advice(frame))
    for name in frame.index.names:
        if type(name) not in (str, type(None)):
            raise ValueError(f"the name of its index, {name!r}, would arrive as text; name it by a text: rename_axis()")
    if frame.attrs:
        try:
            kept = _same(json.loads(json.dumps(frame.attrs)), frame.attrs)
        except (TypeError, ValueError):
            kept = False
        if not kept:
            raise ValueError(f"its attrs {frame.attrs!r} would arrive changed; send them beside it")
    if not frame.flags.allows_duplicate_labels:
        advice = "send frame.set_flags(allows_duplicate_labels=True)"
        raise ValueError(f"its flag allows_duplicate_labels=False would be lost; {advice}")


def _frequencies(frame: Any) -> dict[str, str]:
    """Return the frequencies of the index and of the columns' labels, if they have some."""
    frequencies = {}
    for axis in _AXES:
        labels = getattr(frame, axis)
        frequency = getattr(labels, "freq", None)
        if frequency is None or labels.dtype.kind not in "mM":  # a period's is of its dtype
            continue
        text = frequency.freqstr
        if sys.modules["pandas"].tseries.frequencies.to_offset(text) != frequency:
            raise ValueError(f"the frequency {frequency!r} of its {axis} would be lost; set its freq to None")
        frequencies[axis] = text
    return frequencies


def _is_simple(frame: Any) -> bool:
    """Return True for numbers under plain labels, which the tests have shown to arrive: checks would take longer."""
    pandas = sys.modules["pandas"]
    labels = frame.columns
    if type(frame.index) is not pandas.RangeIndex or frame.index.name is not None or labels.names != [None]:
        return False
    plain = type(labels) is pandas.RangeIndex or (
        type(labels) is pandas.Index and all(type(label) is str for label in labels)
    )
    return plain and all(type(kind).__module__.startswith("numpy") and kind.kind in "biuf" for kind in frame.dtypes)


def _check_kinds(frame: Any, table: Any) -> None:
    """Raise ValueError for labels and dtypes that change on the way back."""
    try:
        back = from_arrow(table.slice(0, 0))
    except Exception as error:  # pandas and pyarrow raise many kinds for what they can't read
        raise ValueError(_suspect(frame, error)) from error
    if not _same_labels(back.columns, frame.columns):
        raise ValueError(_label_advice(frame))
    for label, kind, received in zip(frame.columns, frame.dtypes, back.dtypes, strict=True):
        if not _same_kind(received, kind):
            raise ValueError(f"its column {label!r} of dtype {kind} would arrive as {received}; convert it first")


def _suspect(frame: Any, error: Exception) -> str:
    """Return what of a table can't be read back: the columns' labels, a column or the index."""
    pandas, arrow = sys.modules["pandas"], sys.modules["pyarrow"]

    def fails(part: Any) -> bool:
        try:
            arrow.Table.from_pandas(part).to_pandas()
        except Exception:  # it only counts that it does
            return True
        return False

    if fails(pandas.DataFrame([[0.0] * frame.shape[1]], columns=frame.columns)):
        return _label_advice(frame)
    for position, kind in enumerate(frame.dtypes):
        if fails(pandas.DataFrame({"a": frame.iloc[:0, position].array})):
            return f"its column {frame.columns[position]!r} of dtype {kind} can't be read back; convert it first"
    if fails(pandas.DataFrame(index=frame.index[:0])):
        return _index_advice(frame)
    return f"it can't be read back from Arrow ({error}); convert what is unusual first, such as by reset_index()"


def _label_advice(frame: Any) -> str:
    labels = frame.columns
    return (
        f"the labels of its columns, {type(labels).__name__} of {labels.tolist()[:5]}, would arrive changed; "
        "set them to texts, such as by frame.columns.map(str)"
    )


def _check_index(frame: Any) -> None:
    """Raise ValueError for an index that changes on the way back."""
    pandas, index = sys.modules["pandas"], frame.index
    if type(index) is pandas.RangeIndex:
        return
    whole = any(level.dtype == "object" for level in getattr(index, "levels", [index]))
    part = pandas.DataFrame(index=index if whole else index[:0])
    back = sys.modules["pyarrow"].Table.from_pandas(part).to_pandas().index
    same = _same_labels(back, index) if whole else type(back) is type(index) and _same_kinds(back, index)
    if not same:
        raise ValueError(_index_advice(frame))


def _index_advice(frame: Any) -> str:
    what = f"its index, {type(frame.index).__name__} of dtype {frame.index.dtype}, would arrive changed"
    return f"{what}; convert it, or send frame.reset_index()"


def _same_labels(one: Any, other: Any) -> bool:
    """Return True for labels of equal kinds, names and values; a range may arrive as plain integers."""
    pandas = sys.modules["pandas"]
    if type(one) is not type(other) and {type(one), type(other)} != {pandas.Index, pandas.RangeIndex}:
        return False
    if not _same_kinds(one, other) or not _same(list(one.names), list(other.names)):
        return False
    if one.dtype.kind in "biufmM":
        return bool(one.equals(other))
    return _same([*map(_pair, one)], [*map(_pair, other)])


def _pair(label: Any) -> Any:
    """Return a label as it can be compared: a moment of pandas by its text."""
    if type(label) is tuple:
        return [_pair(part) for part in label]
    return repr(label) if type(label).__module__.startswith(("pandas", "numpy")) else label


def _same_kinds(one: Any, other: Any) -> bool:
    ones, others = getattr(one, "levels", [one]), getattr(other, "levels", [other])
    return len(ones) == len(others) and all(_same_kind(a.dtype, b.dtype) for a, b in zip(ones, others, strict=True))


def _same_kind(one: Any, other: Any) -> bool:
    """Return True for equal dtypes, down to the order of categories and the name of a zone."""
    if type(one) is not type(other) or one != other:
        return False
    categories = getattr(one, "categories", None)
    if categories is not None and not _same_labels(categories, other.categories):
        return False
    zone = getattr(other, "tz", None)
    return type(zone) is not timezone or str(zone) == str(timezone(zone.utcoffset(None)))


def _check_objects(frame: Any, table: Any) -> Iterator[int]:
    """
    Yield the positions of the columns of objects whose missing values are "not a number".

    Raises:
        ValueError: values of a column would come back as others.
    """
    for position in _objects(table):
        if position >= frame.shape[1]:
            return  # the index has a check of its own
        values = frame.iloc[:, position].tolist()
        kinds = set(map(type, values))
        if (
            float in kinds
            and type(None) not in kinds
            and any(value != value for value in values if type(value) is float)
        ):
            yield position
            values = [None if type(value) is float and value != value else value for value in values]
            kinds = set(map(type, values))
        kinds.discard(type(None))
        if len(kinds) > 1 or not kinds.issubset(_SURE):
            _compare(frame.columns[position], values, table.column(position).to_pylist())


def _compare(label: Any, values: list[Any], back: list[Any]) -> None:
    for row, (one, other) in enumerate(zip(back, values, strict=True)):
        if not _same(one, other):
            what = f"its column {label!r}, row {row}: {other!r} would arrive as {one!r}"
            raise ValueError(f"{what}; convert the column, or send the values as a list")


def _objects(table: Any) -> Iterator[int]:
    """Yield the positions of the columns whose dtype is object."""
    described = (table.schema.pandas_metadata or {}).get("columns", [])
    for position, column in enumerate(described):
        if column["numpy_type"] == "object" and column["field_name"] == table.column_names[position]:
            yield position


def _same(one: Any, other: Any) -> bool:
    """Return True for plain values that are equal, and of the same types all the way down."""
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is list:
        return len(one) == len(other) and all(map(_same, one, other))
    if kind is dict:
        return _same([*one], [*other]) and _same([*one.values()], [*other.values()])
    if kind in _BY_VALUE:
        return bool(one == other)
    return (kind in _BY_TEXT or kind.__qualname__ == "Decimal") and repr(one) == repr(other)
