"""Functions that executors of the tests call."""

import os
from typing import Any


def double(x: int) -> int:
    return 2 * x


def capture(*args: Any, **kwargs: Any) -> list[Any]:
    return [list(args), kwargs]


def pid() -> int:
    return os.getpid()


class Numbers:
    @staticmethod
    def triple(x: int) -> int:
        return 3 * x

    def method(self) -> int:
        return id(self)
