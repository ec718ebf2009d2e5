"""The end of a service's ``main.py``: `serve`."""

from __future__ import annotations

from typing import Any

from aioparcs.entry import is_imported_by_multiprocessing, module_name

__all__ = ["serve"]


def serve(*targets: Any, fork: bool = True) -> None:
    """
    Serve a service class, or functions; the last line of a service's ``main.py``. It ends the process.

    If a runner has started this process, it becomes a launcher: it forks the workers that the runner requests, which
    share all that was loaded before. With ``LEADER_URL`` in the environment
    and no runner of aioparcs, a service class serves one runner of the original PARCS on port 4444. In a child of
    multiprocessing, which imports ``main.py`` for its functions, it does nothing and returns.

    Args:
        *targets: one subclass of `Service`, or an instance of one, of which each worker has a copy; or plain and
            coroutine functions, which `Task.call` and a `Pool` call by name: by default the first one. A pool calls
            a function named ``setup`` before all others; a worker calls one named ``teardown``, without arguments, at
            its clean end, if ``setup`` has returned or there is none.
        fork: False to give each worker its own interpreter, for modules that start threads or open connections
            before this line.

    Raises:
        SystemExit: with 2 when no launcher or runner started this process, or a setting has an impossible value.
        TypeError: the targets are neither a service nor functions; says what to write instead.
    """
    if is_imported_by_multiprocessing():
        return
    # Here: a program that imports this name, and is no launcher, loads none of it.
    from aioparcs.service.serving import serve_program
    from aioparcs.service.targets import program_of, service_of

    try:
        program, make = program_of(targets, module_name()), service_of(targets)
    except TypeError as error:
        raise error.with_traceback(None) from None
    serve_program(program, make, fork=fork)
