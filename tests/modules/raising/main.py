"""Functions whose results and exceptions raise when they are looked at."""

import os
import weakref
from typing import Any

from aioparcs import serve


class Key:
    def __repr__(self) -> str:
        raise RuntimeError("no representation")


class RaisingNotes(Exception):
    __notes__ = property(lambda self: 1 / 0)


class RaisingAttributes(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class RaisingMembers(ExceptionGroup[Exception]):
    exceptions = property(lambda self: 1 / 0)


class Meta(type):
    def __getattr__(cls, name: str) -> Any:
        raise RuntimeError(name)


class OfRaisingMeta(metaclass=Meta):
    pass


def value(name: str) -> Any:
    if name == "proxy":
        return weakref.proxy(Key())
    return {Key(): 1} if name == "key" else OfRaisingMeta()


def fail(name: str) -> None:
    if name == "SyntaxError":
        details: Any = ("f.py", 3, 5, b"bytes text")
        raise SyntaxError("bad", details)
    if name == "RaisingMembers":
        raise RaisingMembers("bad", [ValueError("a member")])
    raise globals()[name]("bad")


async def value_later(name: str) -> Any:
    return value(name)


async def fail_later(name: str) -> None:
    fail(name)


def same(x: Any) -> Any:
    return x


def pid() -> int:
    return os.getpid()


serve(value, fail, value_later, fail_later, same, pid)
