"""The stacks of a process's threads and asyncio tasks as text, without the frames that are not the user's."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import itertools
import selectors
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import AsyncGeneratorType, FrameType
from typing import Any, NamedTuple

__all__ = ["Frame", "describe_stacks", "describe_tasks", "format_frames", "is_own_file", "own_sections", "suspended"]

_PACKAGE = str(Path(__file__).parents[2]) + "/"
_LOOPS = (str(Path(asyncio.__file__).parent) + "/", "uvloop/")
# In these files threads begin and wait: their frames say nothing about the user's code.
_THREADS = (threading.__file__, selectors.__file__, str(Path(concurrent.futures.__file__).parent) + "/")
# With these, a loop calls what runs in it. Those of uvloop are no Python: there a service's loop is called by `serve`.
_BASES = (*(f"{_LOOPS[0]}{name}.py" for name in ("base_events", "events", "runners")), f"{_PACKAGE}service/serving.py")
_MOST_FRAMES, _MOST_TASKS = 50, 50


class Frame(NamedTuple):
    """Where a function is: its file, the line, and its name."""

    filename: str
    line: int
    name: str


def is_own_file(filename: str) -> bool:
    """Return True for a file of this package, or of an event loop."""
    return filename.startswith((_PACKAGE, *_LOOPS))


def suspended(coroutine: Any) -> Iterator[Frame]:
    """Yield where a coroutine waits, and what it waits for, from the outermost on."""
    while coroutine is not None:
        kind = next((kind for kind in ("cr", "gi", "ag") if hasattr(coroutine, f"{kind}_frame")), None)
        if kind is None:  # the step of an async generator refers to it, and does not show it
            coroutine = next((one for one in gc.get_referents(coroutine) if isinstance(one, AsyncGeneratorType)), None)
            continue
        frame = getattr(coroutine, f"{kind}_frame")
        if frame is None:
            return
        yield Frame(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        coroutine = getattr(coroutine, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")


def format_frames(frames: Iterable[tuple[str, int, str]]) -> str:
    """Return the user's frames, of which the first is the outermost, as ``faulthandler`` writes them."""
    own = [frame for frame in frames if not is_own_file(frame[0])]
    return "\n".join(f'  File "{filename}", line {line} in {name}' for filename, line, name in reversed(own))


def describe_stacks(
    main: FrameType | None, thread: int | None = None, loop: asyncio.AbstractEventLoop | None = None
) -> str:
    """
    Return the stacks of this process's threads and of the tasks of its loop; "" if all are idle.

    Args:
        main: the frame of the main thread, None for the one that it is in now.
        thread: the main thread, by default the one that calls this.
        loop: its loop, by default the one that runs here.
    """
    names = {one.ident: one.name for one in threading.enumerate()}
    own = thread or threading.get_ident()
    sections = []
    for ident, frame in sys._current_frames().items():
        frames = _user_frames(_frames(main or frame if ident == own else frame), is_main=ident == own)
        if text := format_frames(frames):
            sections.append(f"thread {names.get(ident, hex(ident))}, the most recent call first:\n{text}")
    tasks = describe_tasks(loop or asyncio._get_running_loop())
    return "\n\n".join([*sections, tasks] if tasks else sections)


def describe_tasks(loop: asyncio.AbstractEventLoop | None) -> str:
    """Return where the tasks of a loop wait that are in the user's code; "" if there are none."""
    if loop is None:
        return ""
    current = asyncio.current_task(loop)
    tasks = sorted(asyncio.all_tasks(loop) - {current}, key=lambda task: task.get_name())
    sections: list[str] = []
    for number, task in enumerate(tasks):
        if len(sections) == _MOST_TASKS:  # there may be many thousands, and this process stands still meanwhile
            sections.append(f"and {len(tasks) - number} more tasks")
            break
        if text := format_frames(suspended(task.get_coro())):
            sections.append(f"task {task.get_name()}, the most recent call first:\n{text}")
    return "\n\n".join(sections)


def own_sections(dump: str) -> str:
    """Return a dump of ``faulthandler`` without the threads and the frames that are not the user's."""
    sections = []
    parts = dump.strip().split("\n\n")
    for number, section in enumerate(parts, start=1):
        head, *lines = section.splitlines() or [""]
        # The main thread is the oldest one, and so the last.
        if kept := _cut([line for line in lines if line.startswith("  File ")], is_main=number == len(parts)):
            sections.append("\n".join((head, *kept)))
    return "\n\n".join(sections)


def _frames(frame: FrameType | None) -> list[Frame]:
    """List a thread's frames, the innermost first."""
    frames = []
    while frame is not None:
        frames.append(Frame(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
        frame = frame.f_back
    return frames


def _user_frames(frames: list[Frame], *, is_main: bool) -> list[Frame]:
    """
    Return the frames of the user's code that runs, the outermost first.

    It may be inside of a call of this package. The main thread's outermost frames are those of the program that has
    called ``serve`` or ``run``: of its frames, those count that its loop has called.
    """
    if is_main:
        bases = (number for number, frame in enumerate(frames) if frame.filename in _BASES)
        frames = frames[: next(bases, 0)]
    inside = list(itertools.dropwhile(lambda frame: _is_base(frame.filename), frames))
    user = itertools.takewhile(lambda frame: not _is_base(frame.filename), inside)
    return list(itertools.islice(user, _MOST_FRAMES))[::-1]


def _cut(lines: list[str], *, is_main: bool) -> list[str]:
    """Return the lines of the user's frames among those of one thread in a dump, the innermost first."""
    names = [line.split('"')[1] if line.count('"') >= 2 else "" for line in lines]
    frames = [Frame(name, number, "") for number, name in enumerate(names)]
    kept = _user_frames(frames, is_main=is_main)
    return [lines[frame.line] for frame in reversed(kept)]


def _is_base(filename: str) -> bool:
    return is_own_file(filename) or filename.startswith(_THREADS)
