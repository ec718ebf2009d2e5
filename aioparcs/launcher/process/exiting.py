"""The exit of a worker's process: as a Python program's, but only for what the worker itself has made."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # see `child`
import atexit
import contextlib
import gc
import inspect
import io
import logging
import os
import signal
import sys
import threading
import traceback
import weakref
from abc import ABCMeta
from atexit import _clear as _clear_exit_functions
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple
from weakref import finalize

from aioparcs import deadlines

# Plain types: the abstract classes of io would remember each class that they are asked about.
_FILE, _TEXT = io.IOBase.__bases__[0], io.TextIOBase.__bases__[0]

# The prefix of the names of threads that are not waited for: a function that still runs in one ends with its process.
OUR_THREADS = "aioparcs-"

__all__ = [
    "OUR_THREADS",
    "Inherited",
    "clean_up",
    "clear_inherited_cleanup",
    "flush_output",
    "inherited_state",
]


class Inherited(NamedTuple):
    """
    The state that a worker inherits from its launcher, and has not made itself.

    Attributes:
        files: open files, and handlers of log records; it writes out what it has put into them, and leaves them open.
        threads: those that are not waited for.
        types: those that are known: what was looked up in them, no worker looks up at its end.
        closing: those of them whose objects write something when they are closed.
    """

    files: tuple[weakref.ref[Any], ...]
    threads: frozenset[threading.Thread]
    types: frozenset[type] = frozenset()
    closing: frozenset[type] = frozenset()


def inherited_state() -> Inherited:
    """List the files that the module has opened, and flush them: each fork would write their buffers again."""
    types = _all_types()
    file_types = {id(kind) for kind in types if issubclass(kind, (_FILE, logging.Handler))}
    files = [one for one in _all_objects() if id(type(one)) in file_types]
    _flush(files)
    known = frozenset(filter(_is_plain, types))
    closing = frozenset(filter(_writes_when_closed, known))
    return Inherited(tuple(map(weakref.ref, files)), frozenset(threading.enumerate()), known, closing)


def _all_types() -> tuple[type, ...]:
    found: dict[int, type] = {id(object): object}
    waiting: list[type] = [object]
    while waiting:
        kind: type
        for kind in type.__subclasses__(waiting.pop()):
            if id(kind) not in found:
                found[id(kind)] = kind
                waiting.append(kind)
    return tuple(found.values())


def clear_inherited_cleanup() -> None:
    """Remove, in a forked process, what is to happen at the launcher's own end."""
    _clear_exit_functions()
    if finalize._registered_with_atexit:  # type: ignore[attr-defined]  # as long as there is none, nothing changes
        for finalizer in list(finalize._registry):  # type: ignore[attr-defined]  # there is no public list
            finalizer.atexit = False
        finalize._registered_with_atexit = False  # type: ignore[attr-defined]  # the next one registers again
    atexit.register(_shut_down_logging)
    if processes := sys.modules.get("multiprocessing.process"):
        processes._children.clear()  # they are no children of this process
    if util := sys.modules.get("multiprocessing.util"):
        atexit.register(util._exit_function)


def _shut_down_logging() -> None:
    if len(logging._handlerList) > 1:  # type: ignore[attr-defined]  # the handler of last resort only needs a flush
        logging.shutdown()


def clean_up(inheritance: Inherited, grace: float, code: int) -> None:
    """
    Clean up as Python does at its end, without touching what is shared: memory that is only freed would be copied.

    Exit functions that take too long end with the process, whose files are written all the same.

    Args:
        inheritance: what was there when the worker began.
        grace: seconds that its own threads get to end.
        code: the exit code of a process that is ended here.
    """
    _join_threads(inheritance.threads, grace)

    def end(_number: int, frame: FrameType | None) -> None:
        _set_alarm(_signal.SIG_DFL, 1)  # by the kernel, if the files can't be written either
        _report_overtime(frame)
        _write_files(inheritance)
        os._exit(code)

    # No thread: a signal interrupts what waits in this one, which is where exit functions run.
    _set_alarm(end, deadlines.EXIT_FUNCTIONS)
    try:
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
    _write_files(inheritance)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _set_alarm(handler: Any, seconds: float) -> None:
    _signal.signal(_signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _report_overtime(frame: FrameType | None) -> None:
    place = f" ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})" if frame else ""
    print(
        f"warning: the exit functions (atexit) and files of a worker{place} were not done {deadlines.EXIT_FUNCTIONS} s "
        "after its service had ended, and end with it: move longer work into the service",
        file=sys.stderr,
    )


def _write_files(inheritance: Inherited) -> None:
    """Write what is still in the buffers of files, and close those that the worker has opened."""
    _flush(filter(None, (file() for file in inheritance.files)))
    for file in sorted(_closable(inheritance), key=_turn):
        _close(file)
    flush_output()


def flush_output() -> None:
    """Flush standard output and standard error, if their reader is still there."""
    _flush((sys.stdout, sys.stderr))


def _flush(files: Iterable[Any]) -> None:
    for file in files:
        with contextlib.suppress(Exception):  # it is closed, has no reader, or has no such method
            file.flush()


def _join_threads(inherited: frozenset[threading.Thread], grace: float) -> None:
    """Wait for the threads that are not daemons, including those of executors."""

    def join() -> None:
        for end in reversed(threading._threading_atexits):  # type: ignore[attr-defined]  # executors register there
            end()
        for thread in own:
            thread.join()

    own = [
        thread
        for thread in threading.enumerate()
        if not thread.daemon and thread not in inherited and not thread.name.startswith(OUR_THREADS)
    ]
    if own and grace:
        joiner = threading.Thread(target=join, daemon=True)
        joiner.start()
        joiner.join(grace)
        if names := ", ".join(thread.name for thread in own if thread.is_alive()):
            print(
                f"warning: threads ({names}) still ran {grace:g} s after the service had ended, and end with their "
                "worker: join them in run()",
                file=sys.stderr,
            )


def _all_objects() -> list[Any]:
    """List the objects that the collector knows, except those frozen before the fork: in a fork, its own."""
    try:
        return gc.get_objects()
    except MemoryError:  # of a worker that is at its limit
        return []


def _is_plain(kind: type) -> bool:
    """Return True for a type without a metaclass of the module's own, which may do anything, and need have no hash."""
    return type(kind) is type or type(kind) is ABCMeta


def _closable(inheritance: Inherited) -> Iterator[Any]:
    """Return the objects that write something when closed."""
    types, closing = inheritance.types, inheritance.closing
    own: dict[int, bool] = {}  # whether those of other types do, by the type's id
    for one in _all_objects():
        kind = type(one)
        if _is_plain(kind) and kind in types:
            closes = kind in closing
        elif id(kind) in own:
            closes = own[id(kind)]
        else:
            closes = own[id(kind)] = _writes_when_closed(kind)
        if closes:
            yield one


def _writes_when_closed(kind: type) -> bool:
    """Return True for files, and archives and the like of the standard library."""
    if issubclass(kind, _FILE):
        return not issubclass(kind, io.FileIO)  # it has no buffer
    # Of Python's own, such as archives and shelves: what close() of others does is not known.
    return (
        hasattr(kind, "__del__")
        and inspect.isfunction(getattr(kind, "close", None))
        and kind.__module__.partition(".")[0] in sys.stdlib_module_names
        and not kind.__module__.startswith("asyncio.")  # loops, and what needs one
    )


def _turn(file: Any) -> int:
    """Return the order in which to close: each before what it writes to: archives, texts, compressed files, buffers."""
    if not issubclass(type(file), _FILE):
        return 0
    if issubclass(type(file), _TEXT):
        return 1
    return 3 if type(file).__module__ == "_io" else 2


def _close(file: Any) -> None:
    try:
        if not issubclass(type(file), _FILE):
            file.close()
        elif not file.closed and file.writable():
            # Standard output is needed to the last; and what has no descriptor has no reader.
            file.close() if file.fileno() > 2 else file.flush()
    except OSError as error:
        if error.errno:
            print(f"error: {getattr(file, 'name', file)!r} could not be written: {error.strerror}", file=sys.stderr)
    except Exception:
        pass  # whatever else keeps it from being closed would have kept Python from it
