"""The options of a pool, as its user gives them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self, SupportsIndex

from aioparcs.engine import WorkerSpec, memory_size, optional_time_limit, whole_number
from aioparcs.launcher.sources import is_own_module
from aioparcs.pool.scheduler import Retry, read_hedge, read_rate
from aioparcs.pool.sizing import Bounds
from aioparcs.qualname import MAIN, QualifiedName, qualified_name

__all__ = ["PoolOptions", "Recycling", "Size", "optional_total", "size_bounds", "whole_priority"]

Size = SupportsIndex | tuple[SupportsIndex, SupportsIndex]


class Recycling(NamedTuple):
    """
    When a pool replaces a worker that is well.

    Attributes:
        max_calls: how many calls a worker gets at the most, None for any number.
        max_memory: bytes that it may have between two calls, None for any number.
    """

    max_calls: int | None = None
    max_memory: int | None = None

    @classmethod
    def make(cls, max_calls: SupportsIndex | None, max_memory: int | str | None) -> Self:
        """Return what a user has given; raise an error for what is impossible."""
        return cls(
            None if max_calls is None else whole_number("max_calls", max_calls, 1),
            None if max_memory is None else memory_size("max_memory", max_memory),
        )


class PoolOptions(NamedTuple):
    """
    The options of a pool; see `Starter.pool`.

    Attributes:
        spec: the specification of its workers.
        bounds: how many workers it may have; at first the least; None for as many as there are CPUs for.
        idle: seconds without a call after which a pool of an elastic size releases a worker.
        function: the name of the function that it calls, and that each worker must serve; "" for the first one.
        retry: when a call that has failed is made again.
        timeout: seconds that each call may take in its worker, None for any time.
        rate: how many calls may begin each second, None for any number.
        hedge: how many times the median a call may take before a second worker gets it, too; None for any time.
        recycling: when workers are replaced that are well.
        setup: arguments of the function ``setup``, called in each worker before any other; None for no call.
        concurrency: how many calls a worker runs at once.
        name: what it is called in reports of its progress, None for no reports.
        total: how many calls its user has announced, None for no announcement.
    """

    spec: WorkerSpec
    bounds: Bounds | None
    idle: float
    function: str
    retry: Retry
    timeout: float | None
    rate: float | None
    hedge: float | None
    recycling: Recycling
    setup: Mapping[str, Any] | None
    concurrency: int
    name: str | None
    total: int | None

    def function_name(self, function: str | Callable[..., Any]) -> str:
        """
        Return the name by which workers know a function that a call asks for; the pool's own one for "".

        Raises:
            TypeError: it is neither a function nor a name, or workers can't find it.
        """
        return self.function if function == "" else _name(function, self.spec)

    def shared_by(self, size: int) -> Self:
        """Return these options for a pool of this size: its workers share the CPUs, also those that join it later."""
        return self._replace(spec=self.spec._replace(together=size))

    @classmethod
    def make(
        cls,
        spec: WorkerSpec,
        size: Size | None,
        *,
        idle: float,
        function: str | Callable[..., Any],
        retries: SupportsIndex | Retry,
        timeout: float | None,
        rate: float | str | None,
        hedge: float | None,
        recycling: Recycling,
        setup: Mapping[str, Any] | None,
        concurrency: int,
        progress: bool | str,
        total: SupportsIndex | None,
    ) -> Self:
        """Return the options that a user has given; raise an error for one that is impossible."""
        return cls(
            spec,
            None if size is None else size_bounds(size),
            _idle_time(idle),
            _name(function, spec),
            retries if isinstance(retries, Retry) else Retry(whole_number("retries", retries, 0)),
            optional_time_limit(timeout),
            None if rate is None else read_rate(rate),
            None if hedge is None else read_hedge(hedge),
            recycling,
            _check_setup(setup),
            whole_number("concurrency", concurrency, 1),
            _progress_name(progress, spec.module),
            optional_total(total),
        )


def size_bounds(size: Any) -> Bounds:
    """
    Return the bounds of a pool's size, which is a number or a pair.

    Raises:
        TypeError: it is neither, or not of whole numbers.
        ValueError: a number is too small, or the second of a pair is less than the first.
    """
    if not isinstance(size, tuple | list):
        number = whole_number("size", size, 1)
        return Bounds(number, number)
    if len(size) != 2:
        raise TypeError(f"size={size!r}: it must be a number of workers, or a pair of the least and the most")
    least = whole_number("size[0]", size[0], 0)
    return Bounds(least, whole_number("size[1]", size[1], max(1, least)))


def _idle_time(idle: Any) -> float:
    """Return the seconds after which a worker without a call is released."""
    if not isinstance(idle, int | float) or not 0 <= idle < math.inf:
        raise ValueError(f"idle={idle!r}: it must be a number of seconds, 0 or more")
    return idle


def _name(function: Any, spec: WorkerSpec) -> str:
    """
    Return the name by which workers know a function.

    Raises:
        TypeError: it is neither a function nor a name, or workers can't find it.
    """
    if isinstance(function, str):
        return function
    if not callable(function):
        raise TypeError(f"function={function!r}: it must be a function, or the name of one that the module serves")
    if spec.target is None:
        raise TypeError(
            f"function={function!r}: it must be the name of a function that the module {spec.module} serves; functions "
            "themselves are for pools that are made of one: runner.pool(FUNCTION, ...)"
        )
    place = qualified_name(function)
    if str(place) == spec.target:
        return ""
    if problem := _why_not_served(place, QualifiedName.parse(spec.target)):
        raise TypeError(problem)
    return str(place)


def _why_not_served(place: QualifiedName, target: QualifiedName) -> str:
    """Return why workers that serve one function don't serve another one of the program, "" if they do."""
    if place.module == target.module:
        return ""
    if place.module == MAIN:
        return (
            f"{place.name} is in the program itself, and the workers of this pool only import {target.module}: make a "
            f"pool of it, runner.pool({place.name}, ...), which may also call functions of the program's other files"
        )
    if not is_own_module(place.module):
        name = f"{place.module}.{place.name}"
        return (
            f"{name} is not in one of the program's own files, whose functions the workers of this pool call: make a "
            f"pool of it, runner.pool({name}, ...)"
        )
    return ""


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


def whole_priority(priority: Any) -> int:
    """Return a priority; raise a TypeError for anything but a whole number."""
    try:
        return operator.index(priority)
    except TypeError:
        raise TypeError(f"priority={priority!r}: it must be a whole number; a higher one comes first") from None


def optional_total(total: SupportsIndex | None) -> int | None:
    """Return a number of calls that a user has announced, or None."""
    return None if total is None else whole_number("total", total, 0)
