"""
Tables and columns of pandas and polars, as streams of Arrow IPC; tensors of PyTorch, as arrays.

All are optional: none of these packages is imported to encode (a program that has a table has imported its package;
pyarrow is imported then), and to decode only those that aioparcs itself names, when a table arrives.
"""

from __future__ import annotations

import importlib
import struct
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

from aioparcs.errors import DecodeError, EncodeError, text_of

__all__ = ["Table", "as_array", "as_table", "make_table"]

_INSTALL = "install aioparcs[arrow]"
# Before this one, reading a stream could run code that the stream names (CVE-2023-47248).
_FIRST_ARROW = 15
# The parts of Arrow's flatbuffers: of a message its header's type and itself; of a batch what says it is compressed.
_HEADER_TYPE, _HEADER, _COMPRESSION, _DICTIONARY_BATCH = 1, 2, 3, 1
_SCHEMA_MESSAGE, _DICTIONARY_MESSAGE, _BATCH_MESSAGE = 1, 2, 3


class Table(NamedTuple):
    """
    A table on its way.

    Attributes:
        kind: what it is, such as ``pandas.DataFrame``.
        name: the name of a column, which Arrow knows only as text.
        data: the Arrow stream.
    """

    kind: str
    name: Any
    data: memoryview


def as_array(value: Any) -> Any:
    """Return a tensor in the memory of this machine as an array; None for any other value."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return None
    try:
        return value.detach().numpy()
    except (RuntimeError, TypeError) as error:
        raise EncodeError("", f"a tensor that is no array: {error}; send tensor.cpu(), or convert it first") from error


def as_table(value: Any) -> Table | None:
    """
    Return a table or a column of pandas or polars as it travels; None for any other value.

    Raises:
        EncodeError: pyarrow is missing, or Arrow can't hold the value.
    """
    kind = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
    if kind not in _KINDS or type(value) is not _class(kind):
        return None
    try:
        arrow = _pyarrow()
        name = value.name if kind == "pandas.Series" else None
        table = _KINDS[kind].to_arrow(arrow, value)
        sink = arrow.BufferOutputStream()
        with arrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return Table(kind, name, memoryview(sink.getvalue()))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # polars' panics are no Exceptions
        raise EncodeError("", f"a {kind} that cannot be sent: {text_of(error)}") from error


def make_table(kind: Any, name: Any, data: Any) -> Any:
    """
    Return the table of an Arrow stream; a polars one keeps using the memory of ``data``.

    Raises:
        DecodeError: a package is missing, or the stream is malformed.
    """
    if type(kind) is not str or kind not in _KINDS:
        raise DecodeError("a table of a kind that is unknown here")
    try:
        arrow = _pyarrow()
        importlib.import_module(kind.partition(".")[0])
    except ImportError as error:
        advice = f"{_INSTALL}, and {kind.partition('.')[0]}"
        raise DecodeError(f"a {kind} arrived, and it can't be made here: {error}; {advice}") from error
    try:
        buffer = arrow.py_buffer(data)
        _check_messages(arrow, buffer)
        with arrow.ipc.open_stream(buffer) as reader:
            table = reader.read_all()
        table.validate(full=True)  # what doesn't fit its memory would be read beyond it
        _ = table.column_names  # raises for a name that is no text, on which polars would panic
        return _KINDS[kind].from_arrow(table, name)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # polars' panics are no Exceptions
        raise DecodeError(f"a {kind} that cannot be decoded: {type(error).__name__}: {error}") from error


def _class(kind: str) -> Any:
    package, _, name = kind.partition(".")
    return getattr(sys.modules.get(package), name, None)


def _pyarrow() -> Any:
    arrow = importlib.import_module("pyarrow")
    importlib.import_module("pyarrow.ipc")
    if int(arrow.__version__.partition(".")[0]) < _FIRST_ARROW:
        raise ImportError(f"pyarrow {arrow.__version__} is too old to read what others send: {_INSTALL}")
    return arrow


def _check_messages(arrow: Any, buffer: Any) -> None:
    """Raise ValueError for compressed data, which takes more memory than has arrived, and for what is no table."""
    for metadata in _messages(memoryview(buffer)):
        (root,) = struct.unpack_from("<I", metadata)
        (kind,) = struct.unpack_from("<B", metadata, _field(metadata, root, _HEADER_TYPE))
        header = _table_at(metadata, _field(metadata, root, _HEADER))
        if kind == _DICTIONARY_MESSAGE:
            header = _table_at(metadata, _field(metadata, header, _DICTIONARY_BATCH))
        elif kind not in (_SCHEMA_MESSAGE, _BATCH_MESSAGE):
            raise ValueError("the stream holds what is no table")
        if kind != _SCHEMA_MESSAGE and _field(metadata, header, _COMPRESSION):
            raise ValueError("the stream is compressed")


def _messages(data: memoryview) -> Iterator[memoryview]:
    """Yield the metadata of each message of a stream."""
    position = 0
    while position < len(data):
        marker, size = struct.unpack_from("<II", data, position)
        if marker != 0xFFFFFFFF:
            raise ValueError("the stream is of an old format")
        if not size:
            return
        metadata = data[position + 8 : position + 8 + size]
        yield metadata
        (root,) = struct.unpack_from("<I", metadata)
        place = _field(metadata, root, 3)
        body = struct.unpack_from("<q", metadata, place)[0] if place else 0
        if body < 0:
            raise ValueError("a body of a negative size")
        position += 8 + size + body


def _field(data: memoryview, table: int, number: int) -> int:
    """Return the place of a field of a flatbuffer's table; 0 if the table doesn't have it."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if vtable < 0 or 4 + 2 * number + 2 > struct.unpack_from("<H", data, vtable)[0]:
        return 0
    offset: int = struct.unpack_from("<H", data, vtable + 4 + 2 * number)[0]
    return table + offset if offset else 0


def _table_at(data: memoryview, place: int) -> int:
    offset: int = struct.unpack_from("<I", data, place)[0]
    return place + offset


class _Kind(NamedTuple):
    to_arrow: Callable[[Any, Any], Any]
    from_arrow: Callable[[Any, Any], Any]


def _frames() -> ModuleType:
    from aioparcs.codec import frames  # for pandas only; it loads JSON

    return frames


def _series(table: Any, name: Any) -> Any:
    column = _frames().from_arrow(table).iloc[:, 0]
    column.name = name
    return column


def _polars_to_arrow(frame: Any) -> Any:
    for name, kind in frame.schema.items():
        _check_polars(name, kind)
    return frame.to_arrow()


def _check_polars(name: str, kind: Any) -> None:
    """Raise ValueError for a dtype that arrives as another one, or not at all."""
    polars = sys.modules["polars"]
    if kind == polars.Object:
        raise ValueError(
            f"its column {name!r} holds Python objects (dtype Object), which can't be sent; convert it first"
        )
    if isinstance(kind, polars.Array) and 0 in kind.shape:
        raise ValueError(f"its column {name!r} is of dtype {kind}, without any element; send it as a list, or drop it")
    inner = getattr(kind, "inner", None)
    for part in [field.dtype for field in getattr(kind, "fields", ())] if inner is None else [inner]:
        _check_polars(name, part)


def _polars(table: Any) -> Any:
    names = table.column_names
    if "" in names:  # which polars would call column_0
        table = table.rename_columns([str(position) for position in range(len(names))])
    frame = sys.modules["polars"].from_arrow(table, rechunk=False)
    frame.columns = names
    return frame


_KINDS = {
    "pandas.DataFrame": _Kind(
        lambda arrow, value: _frames().to_arrow(arrow, value), lambda table, name: _frames().from_arrow(table)
    ),
    "pandas.Series": _Kind(lambda arrow, value: _frames().to_arrow(arrow, value.to_frame("value")), _series),
    "polars.DataFrame": _Kind(lambda arrow, value: _polars_to_arrow(value), lambda table, name: _polars(table)),
    "polars.Series": _Kind(
        lambda arrow, value: _polars_to_arrow(value.to_frame()), lambda table, name: _polars(table).to_series(0)
    ),
}
