"""The role of the process whose ``main.py`` calls `run` or `serve`."""

from __future__ import annotations

import inspect
import os
import sys
from typing import Any

from aioparcs.errors import SettingError

__all__ = [
    "check_is_coroutine_function",
    "check_may_direct",
    "is_imported_by_multiprocessing",
    "module_name",
    "pass_to_hook",
]


def is_imported_by_multiprocessing() -> bool:
    """
    Return True while a child of multiprocessing imports the ``main.py`` of its parent, to find functions in it.

    With the start methods spawn and forkserver every child does so. It was started for those functions, and neither
    for another job nor for another launcher.
    """
    process = sys.modules.get("multiprocessing.process")
    # By this attribute multiprocessing itself knows that a child is not ready to start children.
    return process is not None and getattr(process.current_process(), "_inheriting", False)


def check_may_direct(what: str) -> None:
    """
    Raise an error for a runner in a process that was started for something else: it would start the same without end.

    Args:
        what: what the program does instead of calling ``serve``.

    Raises:
        SettingError: this process was started as a worker, and has not become one.
        RuntimeError: it is a child of multiprocessing, and imports its parent's ``main.py``.
    """
    if "PARCS_RUNNER" in os.environ:
        module, _, name = os.environ.get("PARCS_TARGET", "").partition(":")
        if name:
            where = "async def main(runner)" if module == "__main__" else 'if __name__ == "__main__":'
            raise SettingError(
                f"a worker that looks for {name} runs the top level of {module}, which {what}: it would start the same "
                f"job without end; write that below {where}"
            )
        raise SettingError(
            f"{module_name()} is a runner: it {what}; a worker can only be a service, whose main.py calls serve()"
        )
    if is_imported_by_multiprocessing():
        raise RuntimeError(
            "a child of multiprocessing imports this program and must not repeat its job: "
            'pass the coroutine function itself to run(), or call it below `if __name__ == "__main__":`'
        )


def check_is_coroutine_function(function: Any, name: str, instead: str) -> None:
    """
    Raise an error for what certainly returns nothing to await, before it is called and does half of its work.

    Lambdas and functions that close over others, as those of decorators do, may well return a coroutine.

    Args:
        function: what should be a coroutine function.
        name: what its writer calls it.
        instead: what to write.

    Raises:
        TypeError: it is a plain function, or a generator function of either kind.
    """
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError(
            f"{name} is a generator function, because it contains yield: write {instead}, and send() each item"
        )
    function = getattr(function, "__func__", function)
    if not inspect.isfunction(function) or inspect.iscoroutinefunction(function):
        return
    if not function.__closure__ and function.__name__ != "<lambda>":
        raise TypeError(f"{name} is a plain function: write {instead}")


def module_name() -> str:
    """Return the name of the module that this program is: that of the folder of its ``main.py``."""
    return os.path.basename(os.path.dirname(os.path.abspath(sys.argv[0])))


def pass_to_hook(error: BaseException) -> bool:
    """
    Pass an exception that ends this program to its ``sys.excepthook``, which shows it then, as it does in any program.

    Returns:
        False if the program has set none; that of Ubuntu, which only writes crash reports, is no program's own.
    """
    hook = sys.excepthook
    if hook is sys.__excepthook__ or getattr(hook, "__module__", "") == "apport_python_hook":
        return False
    try:
        hook(type(error), error, error.__traceback__)
    except Exception:
        import traceback  # rare

        traceback.print_exc()
        return False
    return True
