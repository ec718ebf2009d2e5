"""Tables of pandas and polars, and tensors."""

import random
import sys
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas  # type: ignore[import-untyped]  # its types are a package of their own
import polars
import pyarrow  # type: ignore[import-untyped]  # it has none
import pytest

from aioparcs import DecodeError, EncodeError, codec
from aioparcs.codec import Ext, tables
from aioparcs.settings import FIRST_EXTENSIONS
from tests.codec.test_decoder import python

pytestmark = pytest.mark.slow


def back(value: Any) -> Any:
    body, buffers = codec.encode_inline(value)
    return codec.decode(body, tuple(map(bytearray, buffers)))


def a_frame(rows: int = 3) -> Any:
    columns = {
        "number": np.arange(rows) * 1.5,
        "text": ["a", None, "c"] * (rows // 3),
        "kind": pandas.Categorical(["q", "r", "q"] * (rows // 3)),
        "when": pandas.date_range("2024-01-01", periods=rows, tz="Europe/London"),
    }
    return pandas.DataFrame(columns, index=pandas.Index(range(5, rows + 5), name="key"))


def a_polars_frame() -> Any:
    kinds = polars.Series(["x", "y"], dtype=polars.Enum(["x", "y"]))
    return polars.DataFrame({"number": [1, 2], "text": ["a", None], "lists": [[1, 2], []], "kind": kinds})


@pytest.mark.parametrize("rows", [3, 30_000])
def test_a_pandas_table_arrives_with_its_index_and_kinds(rows: int) -> None:
    frame = a_frame(rows)
    received = back({"table": [frame, 1]})["table"][0]
    pandas.testing.assert_frame_equal(received, frame)


@pytest.mark.parametrize("name", [None, 5, "n", ("a", 1)])
def test_a_pandas_column_arrives_with_its_name(name: Any) -> None:
    series = pandas.Series(np.arange(5000.0), name=name)
    received = back(series)
    pandas.testing.assert_series_equal(received, series)
    assert type(received.name) is type(name)


def test_polars_tables_and_columns_arrive() -> None:
    frame = a_polars_frame()
    received = back((frame, frame["text"]))
    assert received[0].equals(frame)
    assert received[0].schema == frame.schema
    assert received[1].equals(frame["text"])
    assert received[1].name == "text"


def test_a_large_table_is_a_buffer() -> None:
    body, buffers = codec.encode_inline(a_frame(30_000))
    assert len(buffers) == 1
    assert len(body) < 100


def test_what_arrow_cannot_hold_is_refused() -> None:
    with pytest.raises(EncodeError, match=r"\$\.a: a pandas.DataFrame that cannot be sent"):
        codec.encode({"a": pandas.DataFrame({"x": [1, object()]})})
    with pytest.raises(EncodeError, match="DataFrame cannot be sent"):
        codec.encode(a_frame(), FIRST_EXTENSIONS)


def exact(one: Any, other: Any) -> bool:
    """Return True for columns of values that are the same, down to their types."""
    return [(type(value), repr(value)) for value in one] == [(type(value), repr(value)) for value in other]


NAN = float("nan")
DAY = date(2024, 2, 29)
_kept: list[Any] = [
    [1, 2, None],
    [2**53 + 1, None],
    [1.5, None],
    [True, None],
    ["a", None],
    ["a", NAN],
    [NAN, NAN],
    [None, None],
    [b"a", None],
    [[1, 2], None, []],
    [[2.5], [-0.0]],
    [{"a": 1, "b": ["x"]}],
    [DAY, None],
    [time(1, 2)],
    [datetime(2024, 2, 29, 1)],
    [timedelta(1)],
    [Decimal("1.50"), None],
    [],
]


@pytest.mark.parametrize("values", _kept)
def test_objects_of_a_pandas_column_arrive_as_what_they_are(values: Any) -> None:
    series = pandas.Series(values, dtype=object)
    frame = pandas.DataFrame({"n": range(len(values)), "o": series}, index=series.index + 5)
    for received in (back(series), back(pandas.DataFrame({"o": series, "p": series}))["p"]):
        assert received.dtype == "object"
        assert exact(received, series)
    pandas.testing.assert_index_equal(back(frame).index, frame.index)


_changed: list[Any] = [
    ["a", None, NAN],
    [1, 2.5],
    [(1, 2)],
    [{1, 2}],
    [[1, 2.5]],
    [[(1,)]],
    [{"a": 1}, {"b": 2}],
    [Decimal("NaN")],
    [Decimal("1.50"), Decimal("2")],
    [np.int8(1)],
    [np.arange(2)],
    [pandas.Timestamp("2024")],
    [[2.5, NAN]],
    [datetime(2024, 7, 1, tzinfo=timezone(timedelta(hours=1), "X"))],
    [pandas.NA],
]


@pytest.mark.parametrize("values", _changed)
def test_objects_of_a_pandas_column_that_would_change_are_refused(values: Any) -> None:
    frame = pandas.DataFrame({"c": pandas.Series(values, dtype=object)})
    with pytest.raises(
        EncodeError, match=r"(?s)^\$\[0\]: a pandas.DataFrame that .*column 'c', row .* would arrive as .*list"
    ):
        codec.encode([frame])


def labelled(columns: Any) -> Any:
    return pandas.DataFrame([range(len(columns))], columns=columns)


_dates = pandas.date_range("2024", periods=3, freq="D")
_frames: dict[str, Any] = {
    "numbers": labelled(range(2)),
    "steps": labelled(pandas.RangeIndex(0, 4, 2)),
    "texts": labelled(["1", "a"]),
    "levels": labelled(pandas.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", None])),
    "floats": labelled([1.5, 2.5]),
    "dates": labelled(_dates),
    "name": labelled(pandas.Index(["a"], name="n")),
    "index": pandas.DataFrame({"a": [1, 2, 3]}, index=_dates),
    "weeks": pandas.DataFrame({"a": [1, 2, 3]}, index=pandas.date_range("2024", periods=3, freq="2W-SUN", tz="UTC")),
    "spans": pandas.DataFrame({"a": [1, 2, 3]}, index=pandas.timedelta_range("1s", periods=3)),
    "periods": pandas.DataFrame({"a": [1]}, index=pandas.period_range("2024", periods=1, freq="M")),
    "categories": pandas.DataFrame({"a": [1]}, index=pandas.CategoricalIndex(["a"], ["b", "a"])),
    "levels of both": pandas.DataFrame(
        [[1, 2]], pandas.Index(["k"], name="n"), pandas.MultiIndex.from_tuples([("v", "sum"), ("v", "mean")])
    ),
    "two levels": pandas.DataFrame({"a": [1]}, index=pandas.MultiIndex.from_tuples([(1, "a")], names=["x", None])),
    "days": pandas.DataFrame({"a": [1]}, index=[DAY]),
    "range": pandas.DataFrame({"a": [1, 2]}, index=pandas.RangeIndex(4, 0, -2, name="i")),
    "nothing": pandas.DataFrame(),
    "no columns": pandas.DataFrame(index=["a", "b"]),
    "nullable": pandas.DataFrame({"a": pandas.array([1, None], "Int64"), "b": pandas.array([True, None], "boolean")}),
    "texts of Arrow": pandas.DataFrame({"a": pandas.array(["a", None], "string")}),
    "small": pandas.DataFrame({"a": np.array([1], "f2"), "b": np.array([1], "u1"), "c": np.array(["2024"], "M8[s]")}),
    "ordered": pandas.DataFrame({"a": pandas.Categorical(["a"], ["b", "a"], ordered=True)}),
    "offset": pandas.DataFrame({"a": [pandas.Timestamp("2024", tz=timezone(timedelta(hours=2)))]}),
    "intervals": pandas.DataFrame({"a": pandas.interval_range(0, 2)}),
}


@pytest.mark.parametrize("name", _frames)
def test_labels_indexes_and_kinds_of_a_pandas_table_are_kept(name: str) -> None:
    frame = _frames[name]
    received = back(frame)
    pandas.testing.assert_frame_equal(received, frame, check_freq=True, check_flags=True, check_names=True)
    assert exact(received.columns, frame.columns)
    assert getattr(received.columns, "freq", None) == getattr(frame.columns, "freq", None)
    assert exact([*received.index.names, *received.columns.names], [*frame.index.names, *frame.columns.names])
    assert type(received.index) is type(frame.index)


def noted(attrs: Any) -> Any:
    frame = pandas.DataFrame({"a": [1]})
    frame.attrs = attrs
    return frame


def test_notes_of_a_pandas_table_are_kept_if_they_are_plain() -> None:
    notes = {"x": 1, "y": [None, 1.5, {"z": True}]}
    assert back(noted(notes)).attrs == notes
    assert back(noted(notes)["a"]).attrs == notes
    for attrs in ({1: 2}, {"x": (1, 2)}, {"x": object()}):
        with pytest.raises(
            EncodeError, match=r"^\$: a pandas.DataFrame that .* its attrs .* changed; send them beside it"
        ):
            codec.encode(noted(attrs))


_OTHER_STORAGE = ({"python", "pyarrow"} - {pandas.StringDtype().storage}).pop()
_other_frames: list[tuple[Any, str]] = [
    *(
        (labelled(columns), "labels of its columns, .* would arrive changed; set them to texts")
        for columns in (
            [False, True],
            ["a", 1],
            ["1", 1],
            pandas.Index([("a", 1)], tupleize_cols=False),
            pandas.CategoricalIndex(["a"]),
            pandas.period_range("2024", periods=1, freq="M"),
            pandas.interval_range(0, 1),
            [DAY],
        )
    ),
    (pandas.Series([1], index=pandas.Index([1], name=7)), "name of its index, 7, would arrive as text; name it by a"),
    (pandas.Series([1], index=pandas.RangeIndex(1, name=("a", "b"))), "name of its index, .* name it by a text"),
    (pandas.Series([1], index=pandas.Index([1], dtype=object)), "its index, .* would arrive changed; convert it, or"),
    (pandas.Series([1], index=pandas.Index([(1, 2)], tupleize_cols=False)), "its index, .* frame.reset_index"),
    (pandas.Series([1], index=pandas.CategoricalIndex(pandas.interval_range(0, 1))), "its index, .* frame.reset_index"),
    (
        pandas.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False),
        "allows_duplicate_labels=False would be lost",
    ),
    (
        pandas.Series(
            [1], index=pandas.date_range("2024", periods=1, freq=pandas.offsets.CDay(holidays=["2024-05-01"]))
        ),
        "frequency .* of its index would be lost; set its freq to None",
    ),
    (
        pandas.Series(["a"], dtype=pandas.ArrowDtype(pyarrow.string())),
        "of dtype string.* would arrive as string; convert",
    ),
    (pandas.Series([[1]], dtype=pandas.ArrowDtype(pyarrow.list_(pyarrow.int64()))), "can't be read back; convert it"),
    (
        pandas.Series(["a"], dtype=pandas.StringDtype(_OTHER_STORAGE)),
        "of dtype string.* would arrive as string; convert",
    ),
    (pandas.Series(pandas.cut(np.arange(5), 2)), "its column 'value' of dtype category can't be read back; convert it"),
    (
        pandas.Series([pandas.Timestamp("2024", tz=timezone(timedelta(hours=2), "X"))]),
        r"would arrive as datetime64\[.*, UTC\+02:00\]; convert it",
    ),
]


@pytest.mark.parametrize("value, reason", _other_frames)
def test_a_pandas_table_that_would_arrive_changed_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(EncodeError, match=rf"(?s)^\$\[1\]: a pandas.* cannot be sent: .*{reason}"):
        codec.encode([0, value])


def test_a_polars_column_without_a_name_has_none_on_arrival() -> None:
    for series in (
        polars.Series([1, 2]),
        polars.Series("column_1", [1]),
        polars.Series(["a"], dtype=polars.Categorical),
    ):
        received = back(series)
        assert received.equals(series, check_names=True)
        assert received.dtype == series.dtype
    frame = polars.DataFrame({"": [1], "column_0": [2]})
    assert back(frame).columns == frame.columns


_no_polars: list[tuple[Any, str]] = [
    (polars.Series("n", [object()], dtype=polars.Object), "column 'n' holds Python objects"),
    (polars.DataFrame({"n": polars.Series([object()], dtype=polars.Object)}), "column 'n' holds Python objects"),
    (polars.Series("n", [[]], dtype=polars.Array(polars.Int8, 0)), "column 'n' is of dtype Array.*; send it as a list"),
    (
        polars.Series("n", [[[]]], dtype=polars.List(polars.Array(polars.Int8, 0))),
        "column 'n' .* Array.*; send it as a list",
    ),
    (
        polars.Series("n", [{"a": []}], dtype=polars.Struct({"a": polars.Array(polars.Int8, 0)})),
        "column 'n' .* Array.*; send it as a list",
    ),
]


@pytest.mark.parametrize("value, reason", _no_polars)
def test_a_polars_table_that_would_not_arrive_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(EncodeError, match=rf"^\$\.a: a polars.* cannot be sent: its {reason}"):
        codec.encode({"a": value})


def test_a_stream_that_is_compressed_is_refused() -> None:
    table, sink = pyarrow.table({"a": np.zeros(100_000)}), pyarrow.BufferOutputStream()
    options = pyarrow.ipc.IpcWriteOptions(compression="zstd")
    with pyarrow.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    with pytest.raises(DecodeError, match="compressed"):
        tables.make_table("pandas.DataFrame", None, sink.getvalue().to_pybytes())


@pytest.mark.parametrize("make", [a_frame, a_polars_frame])
def test_a_mutated_table_is_a_table_or_a_decode_error(make: Any) -> None:
    table, numbers = tables.as_table(make()), random.Random(5)
    assert table
    for _ in range(500):
        data = bytearray(table.data)
        for _ in range(numbers.randint(1, 4)):
            data[numbers.randrange(len(data))] = numbers.randrange(256)
        try:
            tables.make_table(table.kind, table.name, bytes(data[: numbers.randint(0, 2 * len(data))]))
        except DecodeError:
            pass


def test_a_table_without_arrow_names_what_to_install() -> None:
    body, _ = codec.encode_inline(a_polars_frame())
    program = f"""
import sys
sys.modules["pyarrow"] = None  # an import of it fails
from aioparcs import DecodeError, codec
try:
    codec.decode({body!r})
except DecodeError as error:
    print(error)
"""
    assert "install aioparcs[arrow], and polars" in python(program)


def test_a_table_of_another_kind_imports_nothing() -> None:
    body = codec.encode_inline(None)[0]
    for kind in ("os.DataFrame", "antigravity.Series", 5):
        with pytest.raises(DecodeError, match="unknown here"):
            codec.decode(_extension([kind, None, body]))


def _extension(value: Any) -> bytes:
    import msgpack

    packed: bytes = msgpack.packb(msgpack.ExtType(Ext.TABLE, msgpack.packb(value)))
    return packed


class Tensor:
    """What the codec uses of `torch.Tensor`; PyTorch is too large to be installed for tests."""

    def __init__(self, array: Any, refusal: str = "") -> None:
        self._array = array
        self._refusal = refusal

    def detach(self) -> "Tensor":
        return self

    def numpy(self) -> Any:
        if self._refusal:
            raise TypeError(self._refusal)
        return self._array


def test_a_tensor_arrives_as_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(Tensor=Tensor))
    for array in (np.arange(5.0), np.zeros((100, 100))):
        received = back([Tensor(array)])[0]
        assert type(received) is np.ndarray
        assert np.array_equal(received, array)
    with pytest.raises(EncodeError, match=r"^\$\.a: a tensor that is no array: on a GPU; send tensor.cpu\(\)"):
        codec.encode({"a": Tensor(None, "on a GPU")})
