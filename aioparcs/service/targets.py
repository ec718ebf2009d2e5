"""The target of `serve`, a service or functions, as the program of a worker; or the error for anything else."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from aioparcs.channel import Channel
from aioparcs.entry import check_is_coroutine_function
from aioparcs.launcher.context import WorkerContext
from aioparcs.launcher.sources import is_own_module
from aioparcs.qualname import MAIN, QualifiedName, function_names
from aioparcs.service.conversation import Program
from aioparcs.service.functions import Find, Functions
from aioparcs.service.functions.limits import CallLimits
from aioparcs.service.functions.spans import ServerSpans
from aioparcs.service.peer_endpoint import PeerEndpoint
from aioparcs.service.service import Service
from aioparcs.starter import Starter

__all__ = ["FunctionFinder", "program_of", "service_of"]

_USAGE = "serve() takes one subclass of Service, or functions with different names"


def program_of(targets: Sequence[Any], name: str, find: Find | None = None) -> Program:
    """
    Return a worker's program for the targets of `serve`.

    Args:
        targets: the targets.
        name: what its workers are called.
        find: see `Functions`.

    Raises:
        TypeError: it is neither a service nor functions; says what to write instead.
    """
    make = service_of(targets)
    if make is None:
        functions = _functions(targets)
        if find is None:
            _check_teardown(functions.get("teardown"))

        async def answer(channel: Channel, place: WorkerContext, _endpoint: PeerEndpoint) -> None:
            limits = CallLimits(place.records, place.worker)
            spans = ServerSpans(name, place.worker)
            await Functions(functions, channel, place.result_log, limits, spans, find).answer()

        return answer

    async def converse(channel: Channel, place: WorkerContext, endpoint: PeerEndpoint) -> None:
        service = make()
        service._attach(channel, place, endpoint)
        await service._live()

    return converse


class FunctionFinder:
    """
    Finds the functions that a runner calls by name, besides the one that its workers serve.

    Those are the functions of the module that that is in, and of all of the program's own files. What is installed is
    not among them: a connection can make a worker run the program's own code only.

    Args:
        target: where the function is that the workers serve.
    """

    def __init__(self, target: QualifiedName) -> None:
        self._module = target.module

    def __call__(self, name: str) -> Callable[..., Any]:
        """
        Return the function of a name.

        Raises:
            LookupError: it is none of those. Finding it may raise any other exception.
        """
        place = QualifiedName.parse(name if ":" in name else f"{self._module}:{name}")
        if place.module != self._module and not is_own_module(place.module):
            if place.module == MAIN:
                raise LookupError("the program itself is not run here; start a pool of that function")
            raise LookupError(f"{place.module} is not one of the program's own files; start a pool of that function")
        function = place.load()
        if problem := _why_no_function(function):
            raise LookupError(problem)
        if (function.__module__, function.__qualname__) != place:  # what a file imports is not its own
            raise LookupError(f"{place.name} is not a function of {place.module}")
        return function  # type: ignore[no-any-return]  # what has no problem is callable

    def names(self) -> list[str]:
        """Return the names of the functions in the module of the one that the workers serve."""
        return function_names(self._module)


def service_of(targets: Sequence[Any]) -> Callable[[], Service] | None:
    """
    Return what creates a worker's service: the class, or a function for the instance, of which each worker has a copy.

    Returns:
        None if the targets are something else.

    Raises:
        TypeError: its ``run`` is no coroutine function.
    """
    if len(targets) != 1:
        return None
    (target,) = targets
    kind = target if isinstance(target, type) else type(target)
    if not issubclass(kind, Service):
        return None
    check_is_coroutine_function(kind.run, f"{kind.__name__}.run", "async def run(self), with await before self.recv()")
    return kind if isinstance(target, type) else lambda: target


def _functions(targets: Sequence[Any]) -> dict[str, Callable[..., Any]]:
    for target in targets:
        problem = _why_no_function(target)
        if problem:
            raise TypeError(f"{_USAGE}: {problem}")
    counts = Counter(target.__name__ for target in targets)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise TypeError(
            f"{_USAGE}: two are called {twice[0]!r}; in a decorator, functools.wraps keeps the function's name"
        )
    if not targets:
        raise TypeError(_USAGE)
    return {target.__name__: target for target in targets}


def _why_no_function(target: Any) -> str | None:
    if isinstance(target, type):
        if issubclass(target, Starter) and not issubclass(target, Service):
            return f"{target.__name__} is a runner: run({target.__name__})"
        if issubclass(target, Service):
            return f"{target.__name__} is a service, and needs a main.py of its own"
        return f"{target.__name__} is not a service: class {target.__name__}(Service)"
    if isinstance(target, Starter):
        return f"{type(target).__name__} is not a function: give {type(target).__name__} a main.py of its own"
    if inspect.iscoroutine(target):
        target.close()
        return f"{target.__name__}() calls the function; pass the function itself: serve({target.__name__})"
    if not callable(target):
        return f"{target!r} is not a function"
    if not isinstance(getattr(target, "__name__", None), str):
        return f"{target!r} has no name to be called by: define a function, def NAME(...), that calls it"
    return None


def _check_teardown(function: Callable[..., Any] | None) -> None:
    """Raise a TypeError for a function ``teardown`` that takes arguments: a worker's end has none to give."""
    if function is None:
        return
    try:
        inspect.signature(function).bind()
    except TypeError:
        raise TypeError(f"{_USAGE}: teardown is called at the end of each worker, and takes no arguments") from None
    except ValueError:  # it has no signature to check
        pass
