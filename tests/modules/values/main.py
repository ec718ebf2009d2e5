"""Functions that return what they are given, and that raise it."""

from typing import Any

from aioparcs import serve
from tests.support import registered
from tests.support.registered import HttpError


def same(*values: Any, **named: Any) -> Any:
    return named if named else values


def kind(value: Any) -> str:
    return type(value).__name__


def fail(name: str, args: Any, note: str = "") -> None:
    error: Exception = getattr(registered, name)(*args) if hasattr(registered, name) else eval(name)(*args)
    if note:
        error.add_note(note)
    raise error


def fail_quota() -> None:
    raise registered.Quota(left=3)


def fail_open(path: str) -> None:
    open(path).close()


def fail_many() -> None:
    raise ExceptionGroup(
        "several", [ValueError("bad"), HttpError(404, "no page"), ExceptionGroup("x", [OSError(2, "n")])]
    )


serve(same, kind, fail, fail_quota, fail_open, fail_many)
