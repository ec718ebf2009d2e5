"""Types that a test and its workers have both registered."""

import enum
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aioparcs import register

__all__ = ["Colour", "DiskError", "Final", "HttpError", "Level", "Pair", "Permission", "Quota", "Tree"]


@register
class Colour(enum.Enum):
    RED = (1, "red")
    GREEN = (2, "green")


@register
class Level(enum.IntEnum):
    HIGH = 3


@register
class Permission(enum.Flag):
    READ = 1
    WRITE = 2


@register
class Pair(NamedTuple):
    first: Any
    second: Any = None


@register
@dataclass(frozen=True)
class Tree:
    value: Any
    children: tuple[Any, ...] = ()
    names: list[str] = field(default_factory=list, compare=False)


@register
class HttpError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.message = message


@register
class DiskError(OSError):
    pass


@register
class Final(Exception):
    """One that no class may extend."""

    def __init_subclass__(cls) -> None:
        raise TypeError("it is final")


class Quota(Exception):
    """One with an `__init__` of its own, and other state."""

    def __init__(self, *, left: int) -> None:
        super().__init__("over quota")
        self.left = left


register(Quota, encode=lambda error: error.left, decode=lambda left: Quota(left=left))
