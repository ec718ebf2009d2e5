"""A runner as a whole program: its loop, its signals, its exit code."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any

from aioparcs import deadlines
from aioparcs.display import auto_display, has_colors, sanitize, were_shown
from aioparcs.entry import check_is_coroutine_function, check_may_direct, pass_to_hook
from aioparcs.errors import ParcsError, SettingError, StartError, describe, notes_of
from aioparcs.events import ProgramEnding, program_events
from aioparcs.launcher.process.logs import show_logs
from aioparcs.loop import new_loop
from aioparcs.runner.runner import Runner
from aioparcs.starter import Starter

__all__ = ["Main", "Stop", "announce_end", "explain", "run_program"]

Main = Callable[[Runner], Awaitable[Any]] | type[Runner]

_FOLDERS = (Path(__file__).parents[1], Path(asyncio.__file__).parent)
_INTERNAL = (*(f"{folder}{os.sep}" for folder in _FOLDERS), "uvloop/", "<frozen runpy>")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BLOCKED = 0.2  # seconds without a turn of the loop after which user code that blocks it is interrupted


def run_program(main: Main) -> None:
    """
    Run a runner as a program, see `aioparcs.run`.

    Raises:
        RuntimeError: an event loop runs here already.
        SystemExit: it has failed, or was stopped.
    """
    _check_no_loop()
    stop = Stop()
    try:
        with auto_display(), _announced(stop):
            check_may_direct("calls run()")
            _check(main)
            show_logs()
            with asyncio.Runner(loop_factory=new_loop) as loop_runner:
                loop_runner.run(stop.guard(_run(main)))
    except SettingError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except (asyncio.CancelledError, KeyboardInterrupt) as error:
        if stop.signal is None and not isinstance(error, KeyboardInterrupt):
            explain(error)
            sys.exit(1)
        print(f"stopped by {_signal(stop).name}", file=sys.stderr)
        sys.exit(128 + _signal(stop))
    except Exception as error:
        explain(error)
        sys.exit(1)


def _signal(stop: Stop) -> signal.Signals:
    return signal.Signals(stop.signal or signal.SIGINT)


@contextmanager
def _announced(stop: Stop) -> Iterator[None]:
    """Publish that the program ends if it does so in the block with an error, while it has its display."""
    try:
        yield
    except (asyncio.CancelledError, KeyboardInterrupt) as error:
        is_stopped = stop.signal is not None or isinstance(error, KeyboardInterrupt)
        announce_end(f"stopped by {_signal(stop).name}" if is_stopped else describe(error))
        raise
    except SystemExit as end:
        if end.code:
            announce_end(end.code if isinstance(end.code, str) else f"exit code {end.code}")
        raise
    except BaseException as error:
        announce_end(str(error) if isinstance(error, ParcsError) else describe(error))
        raise


def _check_no_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("an event loop is already running: use async with Runner() as runner in it")


def _check(main: Any) -> None:
    """Raise a TypeError with advice for an argument that `run` can't run; nothing of the program is called."""
    if inspect.iscoroutine(main):
        main.close()
        raise TypeError(f"run() takes the function, not its call: run({main.__name__})")
    name = getattr(main, "__name__", type(main).__name__)
    if isinstance(main, type):
        if not issubclass(main, Runner):
            advice = f"serve({name})" if issubclass(main, Starter) else f"class {name}(Runner)"
            raise TypeError(f"run() takes a subclass of Runner, and {name} is not one: {advice}")
        check_is_coroutine_function(main.run, f"{name}.run", "async def run(self)")
        return
    if isinstance(main, Runner):
        raise TypeError(f"run() takes the class, not an instance: run({name})")
    if not callable(main):
        raise TypeError(f"run() takes async def main(runner), or a subclass of Runner, not {main!r}")
    check_is_coroutine_function(main, name, f"async def {name}(runner)")
    try:
        inspect.signature(main).bind(Runner)
    except TypeError:
        raise TypeError(f"{name}() has to take the runner, and nothing else: async def {name}(runner)") from None
    except ValueError:
        pass  # it has no signature to check


async def _run(main: Main) -> None:
    if isinstance(main, type):
        async with main() as runner:
            await runner.run()
    else:
        async with Runner() as runner:
            work = main(runner)
            if not inspect.isawaitable(work):
                raise TypeError(f"run() takes a coroutine function, but {main!r} returned {work!r}")
            await work


def explain(error: BaseException) -> None:
    """
    Print an exception without the frames of aioparcs and asyncio, and this package's own ones in one line.

    A program that has set ``sys.excepthook``, as tools do that collect errors, shows it by that.
    """
    if pass_to_hook(error):
        return
    # A group's members are printed below it, each with its notes.
    if isinstance(error, ParcsError) and not isinstance(error, BaseExceptionGroup):
        where = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_internal(frame)]
        place = f" ({_short(Path(where[-1].filename))}:{where[-1].lineno})" if where else ""
        _print(f"error{place}: {_without_shown_lines(error)}")
        return
    report = traceback.TracebackException.from_exception(error)
    _prune(report)
    _print("".join((*report.format(), *_hints(error))).removesuffix("\n"))


def announce_end(error: str) -> None:
    """Publish that the program ends: displays print their last lines before the program prints its error."""
    if events := program_events.get():
        events.publish(ProgramEnding(monotonic(), error))


def _hints(error: BaseException) -> Iterator[str]:
    """Yield a hint if a file that was not found is beside ``main.py``: the current folder may be another one."""
    if not isinstance(error, FileNotFoundError) or not isinstance(error.filename, str):
        return
    path = Path(sys.argv[0]).absolute().parent / error.filename
    if path.exists() and not os.path.isabs(error.filename):
        yield f"{path} is there, but the current folder is {Path.cwd()}: "
        yield f"Path(__file__).parent / {error.filename!r} finds it from anywhere\n"


def _print(text: str) -> None:
    """Print an error, made safe for a terminal: parts of it come from workers."""
    color = has_colors()
    print(*(sanitize(line, color=color) for line in text.split("\n")), sep="\n", file=sys.stderr)


def _without_shown_lines(error: ParcsError) -> str:
    """Return an error's text and notes, without the last lines of a failed start, or a traceback, that were shown."""
    text, notes = str(error), getattr(error, "__notes__", [])
    remote, others = notes_of(error)
    if isinstance(error, StartError) and error.last_lines and were_shown(error.last_lines):
        text = f"{StartError(error.module, error.reason)}; its last lines are above"
    elif remote and were_shown(tuple(remote[0].split("\n"))):  # by its worker, which it has ended
        text, notes = f"{text}; its traceback is above", others
    return "\n".join((text, *notes))


def _short(path: Path) -> str:
    """Return a file's name, with its folder's for a ``main.py``: every module has one."""
    return f"{path.parent.name}/{path.name}" if path.name == "main.py" else path.name


def _prune(report: traceback.TracebackException | None) -> None:
    if report is None:
        return
    report.stack = traceback.StackSummary.from_list([frame for frame in report.stack if not _is_internal(frame)])
    _prune(report.__cause__)
    _prune(report.__context__)
    for inner in getattr(report, "exceptions", None) or ():
        _prune(inner)


def _is_internal(frame: traceback.FrameSummary) -> bool:
    return frame.filename.startswith(_INTERNAL)


def _after(seconds: float, function: Callable[..., object], *args: object) -> threading.Timer:
    """Start a thread that calls a function after some seconds, whatever the loop does."""
    timer = threading.Timer(seconds, function, args)
    timer.daemon = True
    timer.start()
    return timer


class Stop:
    """
    Turns SIGINT and SIGTERM into a cancellation of the program, which a line announces: its end may take a while.

    Handlers of the ``signal`` module, not the loop's: they also work while the user's code blocks the loop. The second
    signal interrupts the loop from a callback of its own. Raised in any other, such as that of a gather, an interrupt
    leaves tasks that nothing will wake, and the end would wait for them.

    Args:
        again: what a second Ctrl-C does, for the printed line.

    Attributes:
        signal: the number of the first signal, once it has come.
    """

    def __init__(self, again: str = "to end at once") -> None:
        self._again = again
        self.signal: int | None = None
        self._blocked: threading.Timer | None = None  # from the second signal on
        self._interrupted = False

    async def guard(self, program: Awaitable[None]) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None

        def stop(number: int, _frame: FrameType | None) -> None:
            if self.signal is None:
                self.signal = number
                loop.call_soon_threadsafe(self._begin, task)
            elif self._blocked is None:
                _after(
                    deadlines.SECOND_SIGNAL, os._exit, 128 + number
                )  # the interrupt may cut off what it then waits for
                self._blocked = _after(_BLOCKED, signal.pthread_kill, threading.get_ident(), number)
                loop.call_soon_threadsafe(self._interrupt)
            else:
                self._interrupt()

        # Signals are the main thread's: in another one the program runs without a way to be stopped by them.
        numbers = _SIGNALS if threading.current_thread() is threading.main_thread() else ()
        before = {number: signal.signal(number, stop) for number in numbers}
        try:
            await program
        finally:
            self._calm()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _interrupt(self) -> None:
        if not self._interrupted:
            self._calm()
            raise KeyboardInterrupt

    def _calm(self) -> None:
        self._interrupted = True
        if self._blocked:
            self._blocked.cancel()

    def _begin(self, task: asyncio.Task[Any]) -> None:
        task.cancel()
        if self._blocked is None:  # the second signal may have come before this call
            hint = f"; press Ctrl-C again {self._again}" if self.signal == signal.SIGINT else ""
            with suppress(OSError, ValueError, AttributeError):  # its reader is gone, or there is no such stream
                print(f"stopping{hint}", file=sys.stderr, flush=True)
