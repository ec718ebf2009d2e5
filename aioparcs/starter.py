"""
The base of runners and of services, both of which start workers: `Starter`.

Most services start none, so this file loads what starting needs when it is first used, and names it for types only.
"""

from __future__ import annotations

import inspect
import os
from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, SupportsIndex, TypedDict, TypeVar, Unpack, overload

from aioparcs.errors import SettingError

if TYPE_CHECKING:
    from aioparcs.engine import WorkerSpec
    from aioparcs.events import EventBus
    from aioparcs.pool import Pool, Retry, Size, WorkerProvider
    from aioparcs.task import Starting, StartingMany, Task, WorkerHandle

__all__ = ["Starter"]

_M = TypeVar("_M", bound=Callable[..., Any])
_P = ParamSpec("_P")
_R = TypeVar("_R")


class StartOptions(TypedDict, total=False):
    """The options of each way to start workers, see `Starter.start`; None is an option's default."""

    env: Mapping[str, str] | None
    cpus: float | None
    memory: int | str | None
    gpus: int | None
    files: Sequence[str | os.PathLike[str]] | None
    swarm: Mapping[str, Any] | None


class PoolArguments(StartOptions, total=False):
    """The arguments of `Starter.pool` behind the first two."""

    function: str | Callable[..., Any]
    per_container: int | str
    idle: float
    retries: SupportsIndex | Retry
    timeout: float | None
    rate: float | str | None
    hedge: float | None
    max_calls: SupportsIndex | None
    max_memory: int | str | None
    setup: Mapping[str, Any] | None
    concurrency: int
    progress: bool | str
    total: SupportsIndex | None


def _takes_options(method: _M) -> _M:
    """Set a method's signature to one with the names of all options, for ``help`` and for completion in notebooks."""
    signature = inspect.signature(method)
    own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
    options = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=getattr(kind, "__forward_arg__", kind)
        )
        for name, kind in StartOptions.__annotations__.items()
    ]
    signature = signature.replace(parameters=[*own, *options])
    method.__signature__ = signature  # type: ignore[attr-defined]  # which functions may have, see inspect.signature
    return method


class Starter:
    """The base of a program that starts workers and talks with each of them."""

    _is_service: ClassVar[bool] = False

    @abstractmethod
    async def _start_workers(self, spec: WorkerSpec, count: int) -> list[WorkerHandle]:
        """
        Start workers; return before they are connected.

        Raises:
            StartError: it is certain that they can't run.
        """

    @abstractmethod
    def _worker_provider(self) -> tuple[WorkerProvider, EventBus]:
        """Return what starts a pool's workers, and the bus for the pool's events."""

    def _note(self, module: str, text: str) -> None:
        """Publish a text that people should know."""
        from aioparcs.events import Notice

        self._worker_provider()[1].publish(Notice(monotonic(), module, text))

    @_takes_options
    def start(
        self,
        module: str | os.PathLike[str] | Callable[..., Any],
        *,
        wire: str | None = None,
        **options: Unpack[StartOptions],
    ) -> Starting:
        """
        Start one worker; await the result, or enter it with ``async with``.

        Any number of starts may run at once: ``asyncio.gather(*(runner.start("factor") for ...))``.

        Args:
            module: a `Service` class, or a function, of this program, which workers find by its module and name, see
                docs/functions.md. Or the name of a folder with ``main.py``; on a Swarm it stands for the image of that
                name in ``PARCS_REGISTRY``, and a name with ``/`` or ``:`` is an image itself. A path to the folder (a
                ``Path``, or a text such as ``"./factor"``, ``"/srv/factor"``, ``"~/factor"`` or ``"factor/"``) is
                taken from the current folder; on a Swarm its last part is the name.
            wire: ``"v1"`` for a service of the original PARCS; only a runner starts those.
            env: variables of the worker's environment, besides the engine's.
            cpus: CPUs that it may keep busy; whole ones on the local engine.
            memory: bytes that it may use, also as text such as ``"512m"``.
            gpus: GPUs that it gets.
            files: a list of files and folders in `Runner.files` that its own folder has, too; see docs/files.md.
            swarm: options that only a Swarm has, see docs/swarm.md. Only a runner may set these, and ``files``.

        Raises:
            TypeError: the module is none of these, or a class or function that workers can't find; says what to do.
            SettingError: an option has an impossible value.
            StartError: (when awaited) the worker did not start; says why, and what to do.
        """
        from aioparcs.engine import WorkerSpec
        from aioparcs.task import Starting

        _check_names("start", options)
        _check_class(module)
        spec = WorkerSpec.make(module, wire=wire, **options)
        return Starting(lambda: self._start_workers(spec, 1), self._note)

    @_takes_options
    def start_many(
        self,
        module: str | os.PathLike[str] | Callable[..., Any],
        count: SupportsIndex,
        *,
        min_workers: SupportsIndex | None = None,
        return_exceptions: bool = False,
        per_container: int | str | None = None,
        wire: str | None = None,
        **options: Unpack[StartOptions],
    ) -> StartingMany:
        """
        Start many workers at once; await the result, iterate it, or enter it with ``async with``.

        Args:
            module: see `start`.
            count: how many.
            min_workers: the wait ends when this many workers are connected; later ones join the list. Failed starts
                are ignored as long as this many succeed.
            return_exceptions: put a `StartError` into the list in place of a worker that did not start.
            per_container: how many of them share a container on a Swarm, 1 by default; what ``main.py`` loads before
                ``serve`` is loaded once for all of these. ``"auto"`` makes one container for each node that
                is available. The local engine has no containers.
            wire: refused here for the original PARCS (``"v1"``), whose services have no rank and are started one by
                one.
            **options: ``env``, ``cpus`` and the others of `start`; for each of the workers.

        Leaving its block waits for the workers to finish, for at most ``close_timeout`` seconds. First kill the
        workers whose answers are no longer needed: ``await asyncio.gather(*(t.kill() for t in tasks))``.

        Raises:
            TypeError: see `start`; or a count is not a whole number.
            ValueError: a count is too small, or ``min_workers`` is more than ``count``.
            SettingError: an option has an impossible value.
            StartError: (when awaited) a worker did not start; all the others are killed.
        """
        from aioparcs.engine import WorkerSpec, whole_number
        from aioparcs.task import StartingMany

        _check_names("start_many", options)
        _check_class(module)
        number = whole_number("count", count, 1)
        enough = None if min_workers is None else whole_number("min_workers", min_workers, 1, number)
        spec = WorkerSpec.make(module, wire=wire, per_container=per_container, **options)
        if spec.wire == "v1":
            raise SettingError(
                'wire="v1": start such services one by one, asyncio.gather(*(runner.start(...) for ...))'
            )
        return StartingMany(
            lambda: self._start_workers(spec, number),
            self._note,
            min_workers=enough,
            return_exceptions=return_exceptions,
        )

    @overload
    def pool(
        self,
        module: Callable[_P, Coroutine[Any, Any, _R]],
        size: Size | None = None,
        **arguments: Unpack[PoolArguments],
    ) -> Pool[_P, _R]: ...
    @overload
    def pool(
        self, module: Callable[_P, _R], size: Size | None = None, **arguments: Unpack[PoolArguments]
    ) -> Pool[_P, _R]: ...
    @overload
    def pool(
        self, module: str | os.PathLike[str], size: Size | None = None, **arguments: Unpack[PoolArguments]
    ) -> Pool: ...
    @_takes_options
    def pool(
        self,
        module: Any,
        size: Size | None = None,
        *,
        function: str | Callable[..., Any] = "",
        per_container: int | str = "auto",
        idle: float = 30.0,
        retries: SupportsIndex | Retry = 0,
        timeout: float | None = None,
        rate: float | str | None = None,
        hedge: float | None = None,
        max_calls: SupportsIndex | None = None,
        max_memory: int | str | None = None,
        setup: Mapping[str, Any] | None = None,
        concurrency: int = 1,
        progress: bool | str = True,
        total: SupportsIndex | None = None,
        **options: Unpack[StartOptions],
    ) -> Pool:
        """
        Start workers that answer calls: ``async with runner.pool("divisors", 8) as pool``; see `Pool`.

        Entering its block starts the workers, and waits until all of them are there.

        Args:
            module: a function of this program, which workers find by its module and name, see docs/functions.md; or
                a module of functions, see `start` and `serve`.
            size: how many workers; by default one for each CPU that this program may use, on a Swarm one for each
                of the nodes' CPUs, or as many as these are enough for with ``cpus=``. A service on a Swarm must choose.
                A pair is the least and the most: it grows while calls wait, and shrinks without work; see docs/pool.md.
            function: the function to call, if it is another one than that, or than the first that the module serves.
            per_container: see `start_many`; 1 isolates every worker.
            idle: seconds that a worker of such an elastic pool must have been without a call before it is ended.
            retries: how often a call is repeated if its worker dies: for functions that may run twice. A `Retry`
                repeats calls after other errors, too, and waits before.
            timeout: seconds that each call may take, from when it begins in its worker; then it fails with
                `CallTimeout`. A coroutine function is cancelled, a plain one ends with its worker.
            rate: how many calls may begin each second, evenly spaced, or ``"100/s"``, ``"5000/m"``, ``"10/h"``.
            hedge: for functions that may run twice: after so many times the median an idle worker gets a call, too.
            max_calls: how many calls a worker gets at the most; then another one takes its place.
            max_memory: the most memory that it may have between two calls, in bytes or as ``"512m"``; the same then.
            setup: keyword arguments of the function ``setup`` in the same module, which each worker calls once, before
                all other calls: for constants that all calls need. The function ``teardown`` there is its counterpart,
                called at the end of each worker.
            concurrency: how many calls of coroutine functions a worker runs at once.
            progress: whether displays show its progress; a string is its name there.
            total: how many calls there will be, for the progress: for calls that are submitted one by one, and for
                items without a length.
            **options: ``env``, ``cpus`` and the others of `start`; for each of the workers.

        Raises:
            TypeError: the module, or the function, is none of these; says what to do.
            SettingError, ValueError: an option has an impossible value.
            StartError: (on entering) a worker did not start; all the others are killed.
        """
        from aioparcs.engine import WorkerSpec
        from aioparcs.pool import Pool, PoolOptions, Recycling

        _check_names("pool", options, PoolArguments)
        _check_class(module)
        if isinstance(module, type):
            kind = module.__name__
            raise TypeError(f"{kind} is a service, and a pool calls functions: runner.start({kind})")
        spec = WorkerSpec.make(module, per_container=per_container, **options)
        pool_options = PoolOptions.make(
            spec,
            size,
            idle=idle,
            function=function,
            retries=retries,
            timeout=timeout,
            rate=rate,
            hedge=hedge,
            recycling=Recycling.make(max_calls, max_memory),
            setup=setup,
            concurrency=concurrency,
            progress=progress,
            total=total,
        )
        return Pool(*self._worker_provider(), pool_options)

    def recv_any(self, tasks: Iterable[Task]) -> AsyncGenerator[tuple[Task, Any], None]:
        """
        Receive the messages of many workers as they arrive: ``async for t, message in runner.recv_any(tasks)``.

        It ends when all of them have ended. Leaving it early, or cancelling it, loses no message.

        Raises:
            WorkerLost, RemoteError: one of them failed; go on with the others by calling it again without that one.
        """
        from aioparcs.task.receiving import recv_any  # few programs call it

        return recv_any(tasks)


def _check_names(method: str, options: StartOptions, known: Any = StartOptions) -> None:
    """Raise Python's own error for a keyword that is not an option, and say which one may be meant."""
    if unknown := [name for name in options if name not in StartOptions.__annotations__]:
        from aioparcs.engine.unknown import unknown_option

        raise unknown_option(f"Starter.{method}()", unknown[0], known.__annotations__)


def _check_class(target: object) -> None:
    """Raise a TypeError for a class that is no service, and for an instance in place of a class."""
    kind = target if isinstance(target, type) else type(target)
    if issubclass(kind, Starter):
        if not kind._is_service:
            raise TypeError(f"{kind.__name__} is a runner, not a service: run({kind.__name__})")
        if kind is not target:
            raise TypeError(f"start() takes the class, not an instance: start({kind.__name__})")
    elif isinstance(target, type):
        raise TypeError(f"{kind.__name__} is not a service: class {kind.__name__}(Service)")
