"""An event loop of many simulated hosts, whose clock jumps and whose order is made by a seed."""

from __future__ import annotations

import asyncio
import heapq
import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context, ContextVar, copy_context
from typing import Any
from weakref import WeakValueDictionary

__all__ = ["Clock", "Death", "Hang", "Host", "VirtualLoop", "clock", "host_of"]


class Clock:
    """The virtual time, in place of `time.monotonic`: import this module before aioparcs, then call `install`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._monotonic = time.monotonic

    def read(self) -> float:
        """Return the virtual time."""
        return self.now

    def install(self) -> None:
        """Replace the clock, and the system's random numbers, of this process."""
        time.monotonic = self.read
        os.urandom = random.randbytes


clock = Clock()


class Hang(Exception):
    """A history doesn't end: nothing is left that could happen, or too much virtual time has passed."""


class Death(BaseException):
    """Unwinds what ran in a process that has just ended."""


class Host:
    """
    One simulated process: its callbacks run one after the other, in their order.

    Attributes:
        name: its name.
        machine: the machine that it runs on.
        is_dead: True once it was killed: nothing of it runs.
        stopped_until: until when it is stopped, as by SIGSTOP.
        on_death: what the kernel does when it ends.
        tasks: its tasks that are not collected.
    """

    def __init__(self, loop: VirtualLoop, name: str, machine: str) -> None:
        self.loop = loop
        self.name = name
        self.machine = machine
        self.is_dead = False
        self.stopped_until = 0.0
        self.on_death: list[Callable[[], object]] = []
        self.tasks: WeakValueDictionary[int, asyncio.Task[Any]] = WeakValueDictionary()
        self.ready: deque[asyncio.Handle] = deque()
        self._context = Context()
        self._context.run(_host.set, self)

    def __repr__(self) -> str:
        return f"<{self.name} on {self.machine}>"

    @property
    def context(self) -> Context:
        """A context in which callbacks are this host's."""
        return self._context.copy()

    def add_variable(self, variable: ContextVar[Any], value: object) -> None:
        """Set a context variable in all of its later callbacks."""
        self._context.run(variable.set, value)

    @property
    def is_stopped(self) -> bool:
        """True while it is stopped by a signal, or its machine stands still."""
        return max(self.stopped_until, self.loop.still_until.get(self.machine, 0.0)) > clock.now

    def call(self, callback: Callable[..., object], *args: Any) -> None:
        """Run a callback as one of this host's."""
        self.loop.call_soon(callback, *args, context=self.context)

    def start(self, work: Any) -> asyncio.Task[Any]:
        """Start a coroutine as a task of this host."""
        task: asyncio.Task[Any] = self.context.run(self.loop.create_task, work)
        return task

    def stop(self, seconds: float) -> None:
        """Stop it for some seconds, as SIGSTOP does: its machine's kernel goes on."""
        self.stopped_until = max(self.stopped_until, clock.now + seconds)
        self.loop.wake_at(self.stopped_until)

    def kill(self) -> None:
        """End it at once, as SIGKILL does."""
        if not self.is_dead:
            self.is_dead = True
            self.loop.keep_until_end([*self.ready, *self.tasks.values()])
            self.ready.clear()
            self.loop.remove_host(self)
            for callback in self.on_death:
                callback()


_host: ContextVar[Host] = ContextVar("host")


def _is_known_dead(context: dict[str, Any]) -> bool:
    """Return whether an error is of a process that was killed."""
    future = context.get("task") or context.get("future")
    return isinstance(future, _Future | _Task) and future.host.is_dead


def host_of(context: Context | None = None) -> Host:
    """Return the host of a context, by default of the present one."""
    return _host.get() if context is None else context[_host]


class _Future(asyncio.Future[Any]):
    """A future whose place in a set is the same in each run."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__(loop=loop)
        self.host = host_of()
        self.number = loop.next_number()

    def __hash__(self) -> int:
        return self.number


class _Task(asyncio.Task[Any]):
    """A task whose place in a set is the same in each run."""

    def __init__(self, work: Any, loop: VirtualLoop, **options: Any) -> None:
        self.number = loop.next_number()
        self.host = host_of()
        self.host.tasks[self.number] = self
        super().__init__(work, loop=loop, **options)

    def __hash__(self) -> int:
        return self.number


_Base: Any = asyncio.BaseEventLoop  # whose signatures are longer than its methods


class VirtualLoop(_Base):  # type: ignore[misc]  # see there
    """
    Runs the callbacks of all hosts.

    A host's own callbacks keep their order, as asyncio promises. Which host goes on is chosen by the seed. When all
    wait the clock jumps to the next timer.

    Args:
        seed: makes the order.
        limit: virtual seconds after which a history hangs.

    Attributes:
        random: what makes the order.
        still_until: until when each machine stands still, its kernel too.
        steps: how many callbacks have run.
        readers: the callbacks of what is readable, by what that is.
        errors: what the exception handler was called with.
    """

    def __init__(self, seed: int, limit: float) -> None:
        super().__init__()
        self.random = random.Random(seed)
        self.still_until: dict[str, float] = {}
        self.steps = 0
        self.readers: dict[Any, Callable[[], object]] = {}
        self.errors: list[dict[str, Any]] = []
        self.is_over = False
        self._has_stopped = False
        self._kept: list[object] = []
        self._numbers = 0
        self._at_steps: dict[int, list[Callable[[], object]]] = {}
        self._hosts: list[Host] = []
        self._all_hosts: list[Host] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._end = clock.now + limit
        self.kernel = self.add_host("kernel", "")
        self.set_task_factory(_make_task)
        self.set_exception_handler(self._note)

    def _note(self, _loop: Any, context: dict[str, Any]) -> None:
        is_death = isinstance(context.get("exception"), Death)
        if not self.is_over and not is_death and not _is_known_dead(context):
            self.errors.append(context)

    def add_host(self, name: str, machine: str) -> Host:
        """Return a new host."""
        host = Host(self, name, machine)
        self._hosts.append(host)
        self._all_hosts.append(host)
        return host

    def keep_until_end(self, objects: Iterable[object]) -> None:
        """Keep what a dead process has had: no ``finally`` block of it is to run when it is collected."""
        self._kept += objects

    def remove_host(self, host: Host) -> None:
        """Remove a host that has ended."""
        self._hosts.remove(host)

    @property
    def hosts(self) -> list[Host]:
        """The hosts that have not ended."""
        return [host for host in self._hosts if host is not self.kernel]

    def next_number(self) -> int:
        """Return the number of the next object that needs one."""
        self._numbers += 1
        return self._numbers

    def time(self) -> float:
        return clock.now

    def later(self, seconds: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """Call something of the kernel's after some seconds, whatever stands still."""
        return self.call_at(clock.now + seconds, callback, *args, context=self.kernel.context)

    def at_step(self, step: int, callback: Callable[[], object]) -> None:
        """Call something of the kernel's between two callbacks, when so many have run."""
        self._at_steps.setdefault(step, []).append(callback)

    def wake_at(self, when: float) -> None:
        """Look again at that time at what may run; until then something is stopped."""
        self._has_stopped = True
        self.call_at(when, _nothing, context=self.kernel.context)

    def stand_still(self, machine: str, seconds: float) -> None:
        """Stop a machine, its kernel too: nothing is acknowledged."""
        self.still_until[machine] = max(self.still_until.get(machine, 0.0), clock.now + seconds)
        self.wake_at(self.still_until[machine])

    # What asyncio asks of a loop

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> asyncio.Handle:
        if context is None:
            context = copy_context()
        handle = asyncio.Handle(callback, args, self, context)
        host = context.get(_host, self.kernel)
        if host.is_dead or self.is_over:
            handle.cancel()
        else:
            host.ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(clock.now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, self.next_number(), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass  # it is dropped when it is due

    def create_future(self) -> asyncio.Future[Any]:
        return _Future(self)

    def run_in_executor(self, executor: Any, function: Any, *args: Any) -> Any:
        """Run a function as a thread would, a moment later."""
        future = self.create_future()

        def run() -> None:
            if not future.cancelled():
                try:
                    future.set_result(function(*args))
                except Exception as error:
                    future.set_exception(error)

        self.call_later(self.random.random() * 0.01, run)
        return future

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:
        self.readers[fd] = lambda: callback(*args)

    def remove_reader(self, fd: Any) -> Any:
        return self.readers.pop(fd, None)

    def _run_once(self) -> None:
        runnable = self._runnable()
        while not runnable:
            self._jump()
            runnable = self._runnable()
        host = runnable[int(self.random.random() * len(runnable))]
        handle = host.ready.popleft()
        self.steps += 1
        for callback in self._at_steps.pop(self.steps, ()):
            self.later(0.0, callback)
        clock.now += self.random.random() * 2e-5  # what it takes
        if not handle.cancelled():
            handle._run()

    def _runnable(self) -> list[Host]:
        """Return the hosts that have something to do, after what is due by now."""
        now, timers = clock.now, self._timers
        while timers and timers[0][0] <= now:
            handle = heapq.heappop(timers)[2]
            host = handle._context.get(_host, self.kernel)  # type: ignore[attr-defined]  # asyncio's own does so
            if host.is_dead:
                self.keep_until_end([handle])
            elif not handle.cancelled():
                host.ready.append(handle)
        if self.kernel.ready:
            return [self.kernel]
        if self._has_stopped:
            return [host for host in self._hosts if host.ready and not host.is_stopped]
        return [host for host in self._hosts if host.ready]

    def _jump(self) -> None:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            raise Hang("nothing is left that could happen")
        clock.now = max(clock.now, self._timers[0][0])
        if clock.now > self._end:
            raise Hang("it goes on and on")

    def dispose(self) -> None:
        """Forget all that still waits, silently."""
        self.is_over = True
        for host in self._all_hosts:
            host.ready.clear()
            for task in list(host.tasks.values()):
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                if not task.done():
                    close_coroutine(task.get_coro())
        self._timers.clear()
        self._kept.clear()

    def timers_of(self, host: Host) -> list[asyncio.TimerHandle]:
        """Return the timers of a host that are not cancelled."""
        found = [one[2] for one in sorted(self._timers, key=lambda one: one[:2])]
        return [one for one in found if not one.cancelled() and one._context.get(_host) is host]  # type: ignore[attr-defined]


def close_coroutine(work: Any) -> None:
    """Close the coroutine of a task that will not go on."""
    try:
        work.close()
    except (RuntimeError, ValueError):  # it awaits something while it is closed, or runs
        pass
    except Exception:
        pass


def _make_task(loop: Any, work: Any, **options: Any) -> Any:
    return _Task(work, loop, **options)


def _nothing() -> None:
    pass
