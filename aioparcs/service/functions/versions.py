"""The versions of functions, for journals: what a function is, as this worker has loaded it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aioparcs.launcher.sources import is_own_module

__all__ = ["describe_function"]


def describe_function(function: Callable[..., Any]) -> list[Any]:
    """
    Return a function's module, its qualified name, and its version.

    Raises:
        LookupError: there is no source of it.
    """
    from aioparcs.journal import function_version  # few workers are asked for it

    return [function.__module__, function.__qualname__, function_version(function, is_own_module)]
