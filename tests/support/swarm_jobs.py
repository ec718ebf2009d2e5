"""The type of the fixture ``job`` on a real Swarm."""

from collections.abc import Callable
from typing import Any

__all__ = ["Job"]

Job = Callable[..., Any]
