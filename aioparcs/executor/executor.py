"""The executor: calls of functions, spread over workers, for programs without asyncio."""

from __future__ import annotations

import operator
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures
from itertools import islice
from time import monotonic
from types import TracebackType
from typing import Any, ParamSpec, SupportsIndex, TypeVar, Unpack, overload

from aioparcs.cpus import usable_cpus
from aioparcs.engine import Engine
from aioparcs.entry import check_may_direct
from aioparcs.executor.calls import Submission, broken
from aioparcs.executor.plan import Plan
from aioparcs.executor.thread import INTERRUPTED, KILLED, LoopThread, check_not_exiting
from aioparcs.starter import StartOptions
from aioparcs.telemetry import present_place

__all__ = ["Executor"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Executor(futures.Executor):
    """
    An executor of `concurrent.futures` whose workers are aioparcs' own, on this machine or a Swarm::

        with Executor(4) as executor:
            future = executor.submit(divisors, 90)
            print(future.result())

    The first call starts the workers, and a thread with the event loop that talks with them. Any thread may use it.
    Workers find functions by module and name, and nothing is pickled: arguments and results are what messages can be.

    A call whose worker dies raises `WorkerLost`, and the worker is replaced; when there are no workers and can be none,
    calls raise `BrokenPool`.

    Args:
        max_workers: how many workers; by default one for each CPU that this program may use.
        module: a module with a folder of its own, whose functions are called by their names; by default the functions
            themselves are called, those of modules that the program can import.
        engine: where the workers run, see `Runner`.
        retries: how often a call is repeated if its worker dies: for functions that may run twice.
        setup: keyword arguments of the module's function ``setup``, which each worker calls once, before all others.
        **options: ``env``, ``cpus`` and the others of `Runner.start`; for each of the workers.

    Raises:
        SettingError: an option has an impossible value.
        TypeError: a number is not whole.
        ValueError: a number is too small.
    """

    def __init__(
        self,
        max_workers: SupportsIndex | None = None,
        *,
        module: str | os.PathLike[str] | None = None,
        engine: Engine | str | None = None,
        retries: int = 0,
        setup: Mapping[str, Any] | None = None,
        **options: Unpack[StartOptions],
    ) -> None:
        try:
            size = usable_cpus() if max_workers is None else operator.index(max_workers)
        except TypeError:
            raise TypeError(f"max_workers={max_workers!r}: it must be a whole number, at least 1") from None
        if size <= 0:
            raise ValueError(f"max_workers must be greater than 0, not {size}")
        self._plan = Plan(size, module, engine, retries, setup, options)
        self._plan.check()
        self._max_workers = size  # where Dask, joblib and others look for it
        self._lock = threading.Lock()
        self._is_shut_down = False
        self._thread: LoopThread | None = None

    def __repr__(self) -> str:
        module = "" if self._plan.module is None else f" of {self._plan.module}"
        return f"<Executor{module}: {self._max_workers} workers>"

    @overload
    def submit(self, fn: str, /, *args: Any, **kwargs: Any) -> futures.Future[Any]: ...

    @overload
    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> futures.Future[_T]: ...

    def submit(self, fn: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        """
        Submit a call, and return its future; this never blocks.

        Cancelling the future takes the call back if no worker has it. Then its ``running()`` is False.

        Args:
            fn: the function; its name if the executor has a ``module``.
            *args: the arguments.
            **kwargs: the keyword arguments.

        Raises:
            TypeError: workers can't find the function; says what to do.
            RuntimeError: the executor was shut down, or the interpreter exits.
            BrokenPool: there are no workers, and there can be none.
        """
        place = self._plan.find(fn)
        self._check_process()
        future: futures.Future[Any] = futures.Future()
        with self._lock:
            if self._thread and (error := self._thread.error(place)):
                raise broken(error)
            if self._is_shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            check_not_exiting()
            thread = self._thread or self._start()
            thread.post(place, Submission(future, place.name, args, kwargs, present_place()))
        return future

    @overload
    def map(
        self,
        fn: str,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[Any]: ...

    @overload
    def map(
        self,
        fn: Callable[..., _T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[_T]: ...

    def map(
        self,
        fn: Callable[..., Any] | str,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """
        Call a function with the items of iterables, and yield the results in their order.

        Args:
            fn: see `submit`.
            *iterables: one for each argument; all items are taken at once, unless ``buffersize`` is given.
            timeout: the seconds from now after which waiting for a result is a `TimeoutError`.
            chunksize: accepted and not needed: workers always get a few quick calls at once.
            buffersize: how many calls are submitted whose results were not taken; None for any number.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is None:
            return super().map(fn, *iterables, timeout=timeout)  # type: ignore[arg-type]  # it is only passed to submit
        if not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        deadline = None if timeout is None else monotonic() + timeout
        arguments = zip(*iterables, strict=False)
        waiting = deque(self.submit(fn, *args) for args in islice(arguments, buffersize))
        return self._results(fn, arguments, waiting, deadline)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """
        Accept no more calls, and end the workers once they have made those that were submitted.

        Args:
            wait: return when no worker is left; otherwise at once.
            cancel_futures: cancel the calls that no worker has.
        """
        thread = self._close()
        if thread is None:
            return
        if cancel_futures:
            thread.cancel_waiting()
        thread.end()
        if wait:
            thread.join()

    def kill_workers(self) -> None:
        """
        Kill the workers that run calls, cancel the other calls, and accept no more; return at once.

        The futures of calls that were running get a `BrokenPool`.
        """
        self._kill(KILLED)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Shut down and wait; after Ctrl-C, kill the workers, which don't get that signal."""
        try:
            if kind is not None and issubclass(kind, KeyboardInterrupt):
                self._kill(INTERRUPTED)
            self.shutdown()
        except KeyboardInterrupt:
            self._kill(INTERRUPTED)
            self.shutdown()
            raise

    # Inside

    def _start(self) -> LoopThread:
        check_may_direct("submits calls to an Executor")
        thread = LoopThread(self._plan)
        thread.start()
        # An executor that is no longer referenced gets no more calls. Those that it has are made.
        weakref.finalize(self, thread.end).atexit = False
        self._thread = thread
        return thread

    def _kill(self, why: str) -> None:
        if thread := self._close():
            thread.kill(why)

    def _close(self) -> LoopThread | None:
        """Accept no more calls; return the thread, or None if this process has none."""
        thread = self._thread
        if thread and thread.pid != os.getpid():  # the lock may be another thread's, which a fork doesn't have
            return None
        with self._lock:
            self._is_shut_down = True
            return self._thread

    def _check_process(self) -> None:
        if self._thread and self._thread.pid != os.getpid():
            raise RuntimeError(
                f"the workers of this executor belong to process {self._thread.pid}, which has forked this one: create "
                "another Executor here"
            )

    def _results(
        self,
        fn: Callable[..., _T] | str,
        arguments: Iterator[tuple[Any, ...]],
        waiting: deque[futures.Future[_T]],
        deadline: float | None,
    ) -> Iterator[_T]:
        """Yield results, and submit a call for each that is taken."""
        try:
            while waiting:
                if (args := next(arguments, None)) is not None:
                    waiting.append(self.submit(fn, *args))
                yield _take(waiting.popleft(), deadline)
        finally:
            for future in waiting:
                future.cancel()


def _take(future: futures.Future[_T], deadline: float | None) -> _T:
    """Return a future's result, and no reference to it; cancel it if the result doesn't come in time."""
    try:
        return future.result(None if deadline is None else deadline - monotonic())
    finally:
        future.cancel()
        del future
