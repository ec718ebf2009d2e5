"""The options of a pool, as its user gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self, SupportsIndex

from aioparcs.engine import WorkerSpec, whole_number

__all__ = ["PoolOptions", "function_name", "optional_total"]


class PoolOptions(NamedTuple):
    """
    The options of a pool; see `Starter.pool`.

    Attributes:
        spec: the specification of its workers.
        size: how many workers at first.
        function: the name of the function that it calls, and that each worker must serve; "" for any.
        retries: how often a call whose worker died is made again.
        setup: arguments of the function ``setup``, called in each worker before any other; None for no call.
        concurrency: how many calls a worker runs at once.
        name: what it is called in reports of its progress, None for no reports.
        total: how many calls its user has announced, None for no announcement.
    """

    spec: WorkerSpec
    size: int
    function: str
    retries: int
    setup: Mapping[str, Any] | None
    concurrency: int
    name: str | None
    total: int | None

    @classmethod
    def make(
        cls,
        spec: WorkerSpec,
        size: SupportsIndex,
        *,
        function: str,
        retries: int,
        setup: Mapping[str, Any] | None,
        concurrency: int,
        progress: bool | str,
        total: SupportsIndex | None,
    ) -> Self:
        """Return the options that a user has given; raise an error for one that is impossible."""
        return cls(
            spec,
            whole_number("size", size, 1),
            function_name(function),
            whole_number("retries", retries, 0),
            _check_setup(setup),
            whole_number("concurrency", concurrency, 1),
            _progress_name(progress, spec.module),
            optional_total(total),
        )


def function_name(function: Any) -> str:
    """Return a function's name; raise a TypeError for anything but a string: functions are not sent."""
    if not isinstance(function, str):
        raise TypeError(f"function={function!r}: it must be the name of a function that the module serves")
    return function


def _check_setup(setup: Any) -> Mapping[str, Any] | None:
    """Return the arguments of ``setup``; raise a TypeError for anything but None and a dict with names as its keys."""
    if setup is None or (isinstance(setup, Mapping) and all(isinstance(name, str) for name in setup)):
        return setup
    raise TypeError(f"setup={setup!r}: it must be a dict of arguments, with their names as its keys")


def _progress_name(progress: Any, module: str) -> str | None:
    """Return what a pool is called in reports, None for no reports; raise a TypeError for neither a bool nor a name."""
    if isinstance(progress, str):
        return progress
    if not isinstance(progress, bool):
        raise TypeError(f"progress={progress!r}: it must be True, False, or a name for the displays")
    return module if progress else None


def optional_total(total: SupportsIndex | None) -> int | None:
    """Return a number of calls that a user has announced, or None."""
    return None if total is None else whole_number("total", total, 0)
