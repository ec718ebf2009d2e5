"""The requests that a job's control socket takes, as typed records. No I/O."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

__all__ = ["LONGEST", "Request", "RequestError", "read_request"]

# Bytes of a request; and of what it says about its sender, for people.
LONGEST = 4096
_LONGEST_NAME = 40
# The numbers that each action needs; any other one is ignored.
_NEEDS: dict[str, tuple[str, ...]] = {
    "stack": ("worker",),
    "where": (),
    "kill": ("worker",),
    "restart": ("worker",),
    "resize": ("pool", "workers"),
    "cancel": (),
    "stop": (),
}
_NUMBERS = ("worker", "pool", "workers", "item")
_LARGEST = 1 << 53


class RequestError(Exception):
    """A request can't be met; the text says why, for people."""


class Request(NamedTuple):
    """
    What a client wants.

    Attributes:
        do: the name of the action.
        by: who wants it, for people.
        worker: a worker's number.
        pool: a pool's number.
        workers: how many workers a pool shall have.
        item: the number of an item of a pool.
    """

    do: str
    by: str
    worker: int | None = None
    pool: int | None = None
    workers: int | None = None
    item: int | None = None

    def number(self, name: str) -> int:
        """Return a number that the action needs: `read_request` has checked that it is there."""
        value = getattr(self, name)
        assert isinstance(value, int)
        return value


def read_request(line: bytes) -> Request:
    """
    Return the request in a line of JSON.

    Raises:
        RequestError: it is none.
    """
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise RequestError("a request is one line of JSON") from None
    if type(values) is not dict or type(values.get("do")) is not str:
        raise RequestError('a request is an object of JSON with the name of an action: {"do": "where"}')
    do = values["do"]
    if do not in _NEEDS:
        raise RequestError(f"there is no action {do[:_LONGEST_NAME]!r}: {', '.join(_NEEDS)}")
    numbers = {name: values[name] for name in _NUMBERS if values.get(name) is not None}
    for name, value in numbers.items():
        if type(value) is not int or not 0 <= value <= _LARGEST:
            raise RequestError(f"{name} must be a whole number from 0 on")
    if missing := [name for name in _NEEDS[do] if name not in numbers]:
        raise RequestError(f"{do} needs {' and '.join(missing)}")
    if do == "cancel" and not numbers.keys() & {"item", "worker"}:
        raise RequestError("cancel needs item or worker")
    return Request(do, _name(values.get("by")), **numbers)


def _name(value: Any) -> str:
    text = value if type(value) is str else ""
    return "".join(filter(str.isprintable, text))[:_LONGEST_NAME].strip() or "its control socket"
