"""The thread of an executor, with its event loop, its runner and its pools."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401  # its hook for the exit comes first, so that it is called last
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from weakref import WeakSet

from aioparcs.executor.calls import Submission, broken
from aioparcs.executor.plan import Place, Plan
from aioparcs.executor.workers import Workers
from aioparcs.loop import new_loop
from aioparcs.runner import Runner

__all__ = ["INTERRUPTED", "KILLED", "LoopThread", "check_not_exiting"]

# Why workers are killed, as the end of "its worker was killed".
INTERRUPTED, KILLED = " after Ctrl-C (KeyboardInterrupt)", " by kill_workers()"

_threads: WeakSet[LoopThread] = WeakSet()
_lock = threading.Lock()  # held while a thread is added, and while the interpreter's exit looks for them
_is_exiting = False


class LoopThread:
    """
    A thread that makes calls until it is ended.

    Other threads post calls to it, and end it, without waiting for it or for each other: also the collector of garbage
    may end it, in any thread.

    Args:
        plan: what the workers are.

    Attributes:
        pid: the process that it belongs to: no child that is forked has it.
    """

    def __init__(self, plan: Plan) -> None:
        self.pid = os.getpid()
        self._error: BaseException | None = None  # of the runner
        self._plan = plan
        self._inbox: deque[tuple[Place, Submission]] = deque()
        self._is_notified = False
        self._loop = new_loop()
        self._over = asyncio.Event()
        self._why_killed = ""
        self._runner: Runner | None = None
        self._workers: dict[str, Workers] = {}
        # No daemon: the interpreter would not wait for it, and cut it off in the middle of ending the workers.
        self._thread = threading.Thread(target=self._run, name="aioparcs-executor", daemon=False)

    def start(self) -> None:
        """
        Start the thread.

        Raises:
            RuntimeError: the interpreter exits.
        """
        with _lock:
            check_not_exiting()
            _threads.add(self)
        self._thread.start()

    def error(self, place: Place) -> BaseException | None:
        """Return why there are no workers that find a function, and will be none, or None."""
        workers = self._workers.get(place.home)
        return self._error if workers is None else workers.calls.error

    def post(self, place: Place, submission: Submission) -> None:
        """Queue a call of a function."""
        self._inbox.append((place, submission))
        if not self._is_notified:  # cleared before the queue is read, so that no call is overlooked
            self._is_notified = True
            self._loop.call_soon_threadsafe(self._read_inbox)

    def cancel_waiting(self) -> None:
        """Cancel the calls that no worker has."""
        self._call_soon(self._cancel_waiting)

    def end(self) -> None:
        """End the workers and the thread once all calls have their results."""
        self._call_soon(self._over.set)

    def kill(self, why: str) -> None:
        """End the workers and the thread now, for one of the reasons above."""
        self._call_soon(partial(self._kill, why))

    def join(self) -> None:
        """Wait until the thread has ended, and no worker is left."""
        if self.pid == os.getpid():
            self._thread.join()

    # Inside: in the thread

    def _call_soon(self, function: Callable[[], object]) -> None:
        if self.pid != os.getpid():  # a fork: it would wake the loop of the parent
            return
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            pass  # the thread has ended

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as loop_runner:
            loop_runner.run(self._main())

    async def _main(self) -> None:
        async with AsyncExitStack() as stack:
            try:
                self._runner = await stack.enter_async_context(self._plan.make_runner())
            except Exception as error:
                self._error = error
            self._read_inbox()
            await self._over.wait()
            self._read_inbox()
            for workers in self._workers.values():
                if self._why_killed:
                    workers.kill(self._why_killed)
                else:
                    workers.close()
            for workers in self._workers.values():
                await workers.wait()

    def _read_inbox(self) -> None:
        error = self._error
        if self._runner is None and error is None:
            return  # it is on its way
        self._is_notified = False
        arrived: dict[str, tuple[Place, list[Submission]]] = {}
        while self._inbox:
            place, submission = self._inbox.popleft()
            if error is None:
                arrived.setdefault(place.home, (place, []))[1].append(submission)
            elif submission.future.set_running_or_notify_cancel():
                submission.future.set_exception(broken(error))
        for place, submissions in arrived.values():
            self._workers_for(place).calls.add(submissions)

    def _workers_for(self, place: Place) -> Workers:
        workers = self._workers.get(place.home)
        if workers is None:
            assert self._runner is not None
            make_pool = partial(self._plan.make_pool, self._runner, place)
            workers = self._workers[place.home] = Workers(self._plan.size, make_pool)
        return workers

    def _cancel_waiting(self) -> None:
        self._read_inbox()
        for workers in self._workers.values():
            workers.calls.cancel_waiting()

    def _kill(self, why: str) -> None:
        self._why_killed = self._why_killed or why
        self._over.set()
        for workers in self._workers.values():
            workers.kill(self._why_killed)


def check_not_exiting() -> None:
    """Raise a RuntimeError when the interpreter exits."""
    if _is_exiting:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")


def _finish_all() -> None:
    """Wait for the calls of all executors when the interpreter exits, as `concurrent.futures` does."""
    global _is_exiting
    with _lock:
        _is_exiting = True
        threads = [thread for thread in _threads if thread.pid == os.getpid()]
    for thread in threads:
        thread.kill(INTERRUPTED) if _was_interrupted() else thread.end()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        for thread in threads:
            thread.kill(INTERRUPTED)
        for thread in threads:
            thread.join()
        raise


def _was_interrupted() -> bool:
    """Return whether Ctrl-C has ended the program: it waits no longer for its calls, which don't get the signal."""
    return getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1")


# As `concurrent.futures` does: `atexit` comes too late, when no thread or process can be started.
threading._register_atexit(_finish_all)  # type: ignore[attr-defined]
