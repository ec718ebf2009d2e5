"""Tables of pandas and polars, and tensors."""

import random
import sys
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
