"""
Writes the bytes that docs/wire.md shows, with the code that speaks the wire.

``python -m tests.support.document`` puts them into the document; a test says when they are not what the code does.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from aioparcs import codec
from aioparcs.channel import encode_error
from aioparcs.messages import launcher, spawn
from aioparcs.messages.fields import field_types
from aioparcs.wire import Frame, FrameType, encode_frame
from tests.support.notation import expand, load

__all__ = ["PATH", "written"]

PATH = Path(__file__).parents[2] / "docs" / "wire.md"
_BYTES_IN_LINE = 24
# Bytes of one piece that are shown; of a longer one there is only the beginning.
_LONGEST = 8 * _BYTES_IN_LINE

_EXAMPLES = [
    "integer 127",
    "integer -33",
    "integer 18446744073709551615",
    "integer 18446744073709551616: the first beyond 64 bits",
    "integer -9223372036854775809: the first below 64 bits",
    "float 1.5",
    "text, not ASCII",
    "bytes",
    "list of scalars",
    "map with keys of three kinds",
    "moment, the epoch: 32 bits",
    "moment, microseconds: 64 bits",
    "moment, just before the epoch",
    "array in C order",
    "array in Fortran order: the data is by columns",
    "array without dimensions",
    "array, empty",
    "array, structured",
    "scalar float of 32 bits",
    "list with large bytes: they are behind the body",
    "arrays in a map: one inline, one behind the body",
    "address, TCP",
    "user's type",
    "tuple",
    "list of tuples of scalars: one extension for all",
    "set",
    "decimal number",
    "moment in a zone",
    "map with a tuple as its key",
    "table of polars, without rows",
]


def written(text: str) -> str:
    """Return the document with its generated parts written again."""
    for name, make in _PARTS.items():
        text = re.sub(
            rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)",
            lambda match, make=make: match[1] + "\n".join(make()) + "\n" + match[2],  # type: ignore[misc]  # mypy#6123
            text,
            flags=re.DOTALL,
        )
    return text


def _examples() -> Iterator[str]:
    vectors = {vector["name"]: vector for vector in load("values")}
    for name in _EXAMPLES:
        vector = vectors[name]
        yield f"{name}:  {json.dumps(vector['value'], ensure_ascii=False)}"
        yield from _lines(expand(vector["body"]))
        for number, buffer in enumerate(vector.get("buffers", [])):
            yield f"    buffer {number}: {buffer}"


def _frames() -> Iterator[str]:
    for vector in load("frames"):
        if len(expand(vector["frame"])) <= _BYTES_IN_LINE * 2 and "reserved" not in vector["name"]:
            yield from _piece(vector["name"], expand(vector["frame"]))


def _session() -> Iterator[str]:
    (handshake,) = (vector for vector in load("handshake") if "steps" in vector)
    names = {"dialler": "worker -> runner", "listener": "runner -> worker"}
    for step in handshake["steps"]:
        yield from _piece(f"{names[step['from']]}  {step['what']}", bytes.fromhex(step["bytes"]))
    for sender, what, frame in _conversation():
        for number, piece in enumerate(encode_frame(*frame)):
            label = f"{sender}  {what}" if number == 0 else f"    behind it, buffer {number - 1}"
            yield from _piece(label, bytes(piece))


def _conversation() -> Iterator[tuple[str, str, Frame]]:
    down, up = "runner -> worker", "worker -> runner"
    yield down, "MSG, the message [28, 1, 29]", _message([28, 1, 29])
    yield up, "MSG, the message [1, 2, 4, 7, 14, 28]", _message([1, 2, 4, 7, 14, 28])
    yield down, "MSG, a map with 1024 float64, all 1", _message({"row": np.ones(1024)})
    yield up, "RAW, 9000 bytes", _message(b"\xab" * 9000)
    call = [0, "total", [[1.5, 2]], {"start": 0}]
    yield down, f"CALL, {call}", _listed(FrameType.CALL, call)
    yield up, "RESULT, [0, True, 3.5]", _listed(FrameType.RESULT, [0, True, 3.5])
    yield down, "CALL, [1, 'total', [None], {}]", _listed(FrameType.CALL, [1, "total", [None], {}])
    error = encode_error(TypeError("not a list of numbers"))
    yield up, "RESULT, [1, False, an error map]", _listed(FrameType.RESULT, [1, False, error | {"traceback": "..."}])
    yield down, "BYE, and then the end of the stream", Frame(FrameType.BYE, b"")
    yield up, "BYE, and then the end of the stream", Frame(FrameType.BYE, b"")


def _table(*directions: tuple[str, Any]) -> Callable[[], Iterator[str]]:
    """Return a maker of the table of all messages of a connection, from each of its ends."""

    def table() -> Iterator[str]:
        yield "| from | frame | body | in the code |"
        yield "|---|---|---|---|"
        for sender, messages in directions:
            for type, record in messages.items():
                yield f"| {sender} | {type.name} | {_body(record)} | `{record.__name__}` |"

    return table


def _body(record: Any) -> str:
    names = [name + "?" * (name in record._field_defaults) for name in record._fields]
    fields = zip(names, field_types(record), strict=True)
    return f"`[{', '.join(f'{name}: {type.name}' for name, type in fields)}]`" if names else "nothing"


def _message(value: Any) -> Frame:
    raw, body, buffers = codec.encode(value)
    return Frame(FrameType.RAW if raw else FrameType.MSG, body, buffers)


def _listed(type: FrameType, values: list[Any]) -> Frame:
    return Frame(type, *codec.encode_inline(values))


def _piece(label: str, data: bytes) -> Iterator[str]:
    yield label
    shown = data if len(data) <= _LONGEST else data[:_BYTES_IN_LINE]
    yield from _lines(shown)
    if len(shown) < len(data):
        yield f"    ... {len(data) - len(shown):,} bytes more"


def _lines(data: bytes) -> Iterator[str]:
    for start in range(0, len(data), _BYTES_IN_LINE):
        yield f"    {data[start : start + _BYTES_IN_LINE].hex(' ')}"


def _fenced(make: Callable[[], Iterator[str]]) -> Callable[[], Iterator[str]]:
    def fenced() -> Iterator[str]:
        yield "```"
        yield from make()
        yield "```"

    return fenced


_PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "control": _table(("runner", launcher.REQUESTS), ("launcher", launcher.REPORTS)),
    "parent": _table(("worker", spawn.REQUESTS), ("runner", spawn.REPORTS)),
    "examples": _fenced(_examples),
    "frames": _fenced(_frames),
    "session": _fenced(_session),
}

if __name__ == "__main__":
    PATH.write_text(written(PATH.read_text()))
