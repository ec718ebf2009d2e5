"""Functions and classes by where another process finds them: their module and their qualified name."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Collection, Iterator
from enum import Enum, auto
from importlib import import_module
from types import MethodType
from typing import Any, NamedTuple

__all__ = [
    "MAIN",
    "START_FOLDER",
    "Finding",
    "QualifiedName",
    "finding",
    "function_names",
    "is_generator_function",
    "missing_function",
    "program_file",
    "qualified_name",
    "refuse_generator_function",
    "set_finding",
]

MAIN = "__main__"
# Functions that a message names, if there are more.
_MOST_NAMES = 30
_MULTIPROCESSING = "__mp_main__"  # as which a child of multiprocessing imports its parent's program


def _current_folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return os.sep


START_FOLDER = _current_folder()
"""The current folder when this was imported: that in which the program's top level runs."""


class Finding(Enum):
    """What a worker can find of this process's program."""

    MODULES = auto()  # what is in modules, and nothing of a ``__main__`` that doesn't end in run()
    ALL = auto()  # what is in ``__main__`` too
    NOTHING = auto()  # this is a worker of a module with a folder of its own, whose files its runner doesn't know


_finding = Finding.MODULES


def finding() -> Finding:
    """Return what a worker can find of this process's program."""
    return _finding


def set_finding(finding: Finding) -> None:
    """Set what a worker can find of this process's program."""
    global _finding
    _finding = finding


def program_file() -> str:
    """Return the name of the file of this process's program, for messages; ``main.py`` if that has no file."""
    return os.path.basename(getattr(sys.modules[MAIN], "__file__", None) or "main.py")


class QualifiedName(NamedTuple):
    """
    The place of a function or a class; as text it is ``module:name``.

    Attributes:
        module: the name of its module; ``__main__`` for the program itself.
        name: its ``__qualname__``.
    """

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> QualifiedName:
        """
        Return the place that a text names.

        Raises:
            ValueError: it names none.
        """
        module, _, name = text.partition(":")
        parts = (*module.split("."), *name.split("."))
        if not all(part.isidentifier() for part in parts):
            raise ValueError(f"{text!r} is not MODULE:NAME")
        return cls(module, name)

    def load(self) -> Any:
        """
        Import the module, and return the function or class.

        Raises:
            ImportError: there is no such module. Importing it may raise any other exception.
            AttributeError: the module has nothing of that name.
        """
        return _find(sys.modules[MAIN] if self.module == MAIN else import_module(self.module), self.name)


def qualified_name(target: Callable[..., Any]) -> QualifiedName:
    """
    Return where a worker finds a function or a class.

    Raises:
        TypeError: it finds none there; says what to do.
    """
    problem = _why_not_callable(target)
    if problem:
        raise TypeError(problem)
    module, name = getattr(target, "__module__", None), getattr(target, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        raise TypeError(
            f"{target!r:.200} has no name by which a worker could find it: write a function at the top level of a "
            "module, def NAME(...), that calls it"
        )
    problem = _why_not_found(target, module, name)
    if problem:
        raise TypeError(problem)
    return QualifiedName(module, name)


def function_names(module: str) -> list[str]:
    """Return the names of the functions of a loaded module, with those in its classes, such as ``Tools.convert``."""
    return list(_names_in(sys.modules[module], module, ""))


def _names_in(place: Any, module: str, prefix: str) -> Iterator[str]:
    for name, value in list(vars(place).items()):
        full = f"{prefix}{name}"
        try:
            is_own = (value.__module__, value.__qualname__) == (module, full)
        except Exception:  # it has no such attributes, or code of its own instead
            continue
        if not is_own:
            continue  # what it imports is not its own
        if isinstance(value, type):
            yield from _names_in(value, module, f"{full}.")
        elif not (name.startswith("__") and name.endswith("__")):
            yield full


def missing_function(name: object, place: str, names: Collection[str], problem: str = "") -> LookupError:
    """
    Return the error for a function that is not there.

    Args:
        name: what was requested.
        place: where it is not there.
        names: the functions that are there.
        problem: why it isn't, or "".
    """
    from difflib import get_close_matches  # most programs need it never

    near = get_close_matches(name, names, 1) if isinstance(name, str) else []
    hint = f"; did you mean {near[0]!r}? There are: " if near else "; there are: "
    some = [*names][:_MOST_NAMES]
    rest = f" and {len(names) - len(some)} more" if len(names) > len(some) else ""
    return LookupError(f"no function {name!r} is served {place}{problem}{hint}{', '.join(some)}{rest}")


def is_generator_function(function: Any) -> bool:
    """Return True for a generator function, or an async one."""
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def refuse_generator_function(function: Any) -> None:
    """
    Check that a call of a function has one result.

    Raises:
        TypeError: it is a generator function; says what to do.
    """
    if is_generator_function(function):
        raise TypeError(
            f"{function.__name__} is a generator function, and a call has one result: pool.stream(...) or "
            "task.stream(...) gives its items as they come; or return a list"
        )


def _why_not_callable(target: Any) -> str | None:
    if inspect.iscoroutine(target):
        target.close()
        return f"{target.__name__}() calls the function; pass the function itself: {target.__name__}"
    return None


def _why_not_found(target: Any, module: str, name: str) -> str | None:
    if "<lambda>" in name:
        return "a lambda has no name by which a worker could find it: write def NAME(...) at the top level of a module"
    if "<locals>" in name:
        return (
            f"{name.rpartition('.')[2]} is defined inside a function, where a worker can't find it: move it to the top "
            "level of its module; in a decorator, functools.wraps keeps a function's name"
        )
    if _finding is Finding.NOTHING:
        return (
            f"{name} is in a module with a folder of its own, and its runner can't find it there: give it a main.py of "
            f"its own with serve({name}), and start that by its folder's name"
        )
    if module == _MULTIPROCESSING or (module == MAIN and _finding is not Finding.ALL):
        return _why_not_in_main(name)
    try:
        found = _find(sys.modules[module], name)
    except (KeyError, AttributeError):
        found = None
    if found is target or (isinstance(target, MethodType) and found == target):
        return None
    return (
        f"{target!r:.200} is not what a worker finds under its name, {name} in {module}: "
        "pass the function or class that is there"
    )


def _why_not_in_main(name: str) -> str:
    if not getattr(sys.modules[MAIN], "__file__", None):
        return (
            f"{name} is in a notebook, at the interactive prompt or in python -c, where a worker can't find it: move "
            "it into a module, a .py file, and import it from there"
        )
    return (
        f"{name} is in the program itself, and workers import modules only, unless the program ends in run(main): "
        "move it into a module, a .py file beside the program, and import it from there"
    )


def _find(place: Any, name: str) -> Any:
    for part in name.split("."):
        place = getattr(place, part)
    return place
