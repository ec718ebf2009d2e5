"""The functions that a worker serves, and those that it finds when they are first called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any, Protocol

from aioparcs.qualname import is_generator_function, missing_function, refuse_generator_function

__all__ = ["TEARDOWN", "Find", "ServedFunctions"]

_SETUP, TEARDOWN = "setup", "teardown"


class Find(Protocol):
    """What finds the functions of the runner's own program."""

    def __call__(self, name: str) -> Callable[..., Any]:
        """Return the function of this name, or raise an error."""

    def names(self) -> list[str]:
        """Return the names of those that need no module before their name."""


class ServedFunctions:
    """
    Functions by name, each of one of four kinds: plain, a plain one that wraps a coroutine function, a coroutine
    function, or a generator function, which is in place as a coroutine function that raises what to do instead.

    Args:
        functions: by name; a call without a name is one of the first.
        find: returns a function of any other name, or raises an error; None where there are no others.

    Attributes:
        by_name: all of them.
        plain: the names of the plain ones.
        wrapped: the names of the plain ones that wrap coroutine functions.
    """

    def __init__(self, functions: Mapping[str, Callable[..., Any]], find: Find | None = None) -> None:
        self.by_name: dict[str, Callable[..., Any]] = {}
        self.plain: set[str] = set()
        self.wrapped: set[str] = set()
        self._generators: dict[str, Callable[..., Any]] = {}
        self._find = find
        self._is_set_up = False
        for name, function in {"": next(iter(functions.values())), **functions}.items():
            self._add(name, function)

    @property
    def names(self) -> list[str]:
        """The names of all of them, also of those that were not found yet, but of none in another module."""
        found = self._find.names() if self._find is not None else []
        return list(dict.fromkeys(filter(None, [*self.by_name, *found])))

    def look_up(self, name: Any) -> None:
        """
        Find a function that is called for the first time, unless it is served already.

        Raises:
            LookupError: there is none of this name; says which there are.
        """
        if name in list(self.by_name):  # a list, since a peer may send what has no hash
            return
        problem = ""
        try:
            if self._find is not None and isinstance(name, str):
                self._add(name, self._find(name))
                return
        except Exception as error:  # of any kind: finding it may import a module
            problem = f" ({error})" if type(error) is LookupError else f" ({type(error).__name__}: {error})"
        raise missing_function(name, "here", self.names, problem)

    def streamed(self, name: str) -> Callable[..., Any]:
        """Return a function that is called for a stream."""
        return self._generators.get(name) or self.by_name[name]

    def find_teardown(self) -> Callable[..., Any] | None:
        """
        Return ``teardown`` if it is to be called at the end of this worker.

        It is if ``setup`` has returned, or if there is none: otherwise there is nothing to undo. Where functions are
        found by name only the first counts: most of them are not there for workers, and may be called so by chance.

        Raises:
            LookupError: the module has something of this name that is no function of its own.
        """
        if not self._is_set_up and (self._find is not None or _SETUP in self.by_name):
            return None
        if self._find is not None and TEARDOWN not in self.by_name:
            with suppress(AttributeError):  # there is none
                self._add(TEARDOWN, self._find(TEARDOWN))
        return self.by_name.get(TEARDOWN)

    def _add(self, name: str, function: Callable[..., Any]) -> None:
        if is_generator_function(function):
            self._generators[name] = function
            function = _refusal(function)
        elif name == _SETUP:
            function = self._recorded(function)
        self.by_name[name] = function
        if _wraps_coroutine(function):
            self.wrapped.add(name)
        elif not inspect.iscoroutinefunction(function):
            self.plain.add(name)

    def _recorded(self, setup: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of the same kind that also records that ``setup`` has returned."""
        if inspect.iscoroutinefunction(setup):

            @wraps(setup)
            async def run(*args: Any, **kwargs: Any) -> Any:
                value = await setup(*args, **kwargs)
                self._is_set_up = True
                return value
        else:

            @wraps(setup)
            def run(*args: Any, **kwargs: Any) -> Any:
                value = setup(*args, **kwargs)
                self._is_set_up = True
                return value

        return run


def _wraps_coroutine(function: Callable[..., Any]) -> bool:
    """Return True for a plain function that wraps a coroutine function, as those of most decorators do."""
    return not inspect.iscoroutinefunction(function) and inspect.iscoroutinefunction(inspect.unwrap(function))


def _refusal(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a coroutine function that says how a generator function is called."""

    async def refuse(*_args: Any, **_kwargs: Any) -> None:
        refuse_generator_function(function)

    refuse.__name__ = function.__name__
    return refuse
