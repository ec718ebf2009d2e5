"""`run`, the last line of a program: in its first process it runs the program, and in its launchers it is `serve`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aioparcs.entry import is_imported_by_multiprocessing
from aioparcs.qualname import Finding, set_finding

if TYPE_CHECKING:
    from aioparcs.runner.program import Main

__all__ = ["run"]


def run(main: Main) -> None:
    """
    Run a runner as a program; returns when it has succeeded and ends the process otherwise.

    Workers find the functions and Service classes of the program by running it too: in their launcher this line serves
    what the runner has started, and never returns. See docs/functions.md.

    On a terminal it shows how far its workers and pools are, unless ``PARCS_PROGRESS`` is ``off``. Log records of
    level INFO and above are shown, as those of workers are, unless the program configures logging itself.

    Ctrl-C and SIGTERM cancel it, so that it ends gracefully and leaves nothing of its job; a second Ctrl-C ends it
    at once. In another thread than the main one, which alone gets signals, it runs without that. In a child of
    multiprocessing, which imports ``main.py`` for its functions, it does nothing and returns.

    Args:
        main: a coroutine function that takes the `Runner`, or a subclass of `Runner` with a ``run`` method.

    Raises:
        RuntimeError: an event loop runs here already, as in a notebook: enter a `Runner` there.
        SystemExit: with 1 for an exception (printed, without this package's own frames), 2 for a setting with an
            impossible value, 130 for Ctrl-C, 143 for SIGTERM.
    """
    if is_imported_by_multiprocessing():
        return
    target = os.environ.get("PARCS_TARGET")
    if target is not None and "PARCS_RUNNER" in os.environ:
        from aioparcs.service.serving import serve_named  # launchers only: a runner serves nothing

        serve_named(target)
    set_finding(Finding.ALL)
    from aioparcs.runner.program import run_program  # runners only: a launcher has left this function by now

    run_program(main)
