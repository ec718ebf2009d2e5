"""The error of a keyword that no option has: which one may be meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["unknown_option"]

# What other pools call it, and how it is said here.
_ELSEWHERE = {
    "chunksize": "calls of short functions travel together by themselves, so leave it out",
    "initializer": "a function setup of the workers' module is called in each of them first, with setup={...}",
    "initargs": "setup={...} has the arguments of the function setup, which each worker calls first",
    "maxtasksperchild": "did you mean max_calls=?",
    "max_tasks_per_child": "did you mean max_calls=?",
    "max_workers": "the size is the second argument",
    "processes": "the size is the second argument",
}


def unknown_option(place: str, name: str, known: Iterable[str]) -> TypeError:
    """Return Python's own error for a keyword argument that a function doesn't take, and what to write instead."""
    near = [f"did you mean {one}=?" for one in get_close_matches(name, known, 1)]
    hints = [_ELSEWHERE[name]] if name in _ELSEWHERE and "max_calls" in known else near
    return TypeError("; ".join([f"{place} got an unexpected keyword argument {name!r}", *hints]))
