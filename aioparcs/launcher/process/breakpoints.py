"""``breakpoint()`` in a worker: a debugger on its runner's terminal, or a line about why there is none."""

from __future__ import annotations

import os
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aioparcs.launcher.process.debugger import TerminalDebugger

__all__ = ["set_breakpoint_hook"]

_NO_TERMINAL = "its runner has no terminal (only a runner with the local engine, started from one, does)"


class _Debuggers(threading.local):
    """The debugger of each thread: a breakpoint that is reached while one steps goes on in it."""

    own: TerminalDebugger | None = None


_debuggers = _Debuggers()
_warned = False


def set_breakpoint_hook(name: str) -> None:
    """Set what ``breakpoint()`` does in the worker of this name, unless the program has chosen it."""
    if sys.breakpointhook is sys.__breakpointhook__:
        sys.breakpointhook = partial(_stop, name)


def _stop(name: str, *args: Any, **kwargs: Any) -> Any:
    """Open the debugger; return what a debugger that ``PYTHONBREAKPOINT`` names returns."""
    if os.environ.get("PYTHONBREAKPOINT"):
        return sys.__breakpointhook__(*args, **kwargs)
    frame = sys._getframe(1)
    debugger = _debuggers.own
    if debugger is None:
        try:
            path = _find_terminal()
            from aioparcs.launcher.process.debugger import TerminalDebugger  # few workers need it

            debugger = _debuggers.own = TerminalDebugger(path, name)
        except OSError as error:
            _warn(f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}", error)
            return None
    debugger.set_trace(frame)
    return None


def _find_terminal() -> str:
    """
    Return the device of the runner's terminal.

    Raises:
        OSError: there is none, or it belongs to another program at present.
    """
    path, _, runner = os.environ.get("PARCS_TERMINAL", "").partition(" ")  # the runner's process
    if not path:
        raise OSError(_NO_TERMINAL)
    with open(f"/proc/{runner}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    group, foreground = int(fields[2]), int(fields[5])
    if 0 < foreground != group:
        raise OSError("its runner runs in the background, and another program reads from its terminal")
    return path


def _warn(place: str, error: OSError) -> None:
    """Print once why there is no debugger: a breakpoint may be reached a million times."""
    global _warned
    if not _warned:
        _warned = True
        print(
            f"warning: breakpoint() at {place} does nothing: {error}; debugpy can attach to a worker anywhere",
            file=sys.stderr,
        )
