"""
The version of a function: a hash of its source, and of what it uses of the program's own files.

These are the statements at the top level of modules: the function's own, those that set the names that it uses, those
that set the names that these use, and so on, also in other files. What is installed does not count.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from functools import cache, partial
from importlib.util import decode_source, find_spec
from typing import Any

from aioparcs.journal.statements import Import, ModuleStatements, Statement

__all__ = ["SIZE", "function_version"]

SIZE = 16
"""Bytes of a version."""

_WHOLE = ""  # in place of a name: all of a module


def function_version(function: Callable[..., Any], is_own: Callable[[str], bool]) -> bytes:
    """
    Return the version of a function, as this process has loaded it.

    Args:
        function: the function.
        is_own: returns whether a module is one of the program's own files.

    Raises:
        LookupError: there is no source of one of these files.
    """
    found = _Search(is_own)
    found.follow(function.__module__, function.__qualname__.partition(".")[0])
    version = hashlib.blake2b(digest_size=SIZE)
    for module, text, place in sorted(found.pieces):
        version.update(b"%d %d %d %s%s" % (len(module), len(text), place, module.encode(), text))
    return version.digest()


class _Search:
    """
    Collects what a name depends on.

    Args:
        is_own: see `function_version`.

    Attributes:
        pieces: statements: the module and the text of each, and its place among those that set the same name.
    """

    def __init__(self, is_own: Callable[[str], bool]) -> None:
        self.pieces: set[tuple[str, bytes, int]] = set()
        self._is_own = cache(partial(_is_own, is_own))
        self._load = cache(self._read)

    def follow(self, module: str, name: str) -> None:
        """Add what sets a name of a module, and all that this depends on; the whole module where nothing sets it."""
        pending = [(module, name)]
        seen: set[tuple[str, str]] = set()
        while pending:
            place = pending.pop()
            if place not in seen and self._is_own(place[0]):
                seen.add(place)
                pending += self._step(*place, is_first=len(seen) == 1)

    def _step(self, module: str, name: str, *, is_first: bool) -> list[tuple[str, str]]:
        source = self._load(module)
        if source is None:  # it was added as a whole
            return []
        statements = source.statements if name == _WHOLE else source.binding(name)
        if not statements and name != _WHOLE:
            others = [(star, name) for star in source.star_imports]
            return others or ([(module, _WHOLE)] if is_first else [])
        return [place for number, one in enumerate(statements) for place in self._add(module, one, number)]

    def _add(self, module: str, statement: Statement, number: int) -> list[tuple[str, str]]:
        self.pieces.add((module, statement.text.encode(errors="surrogatepass"), number))
        imported = [self._place(one) for one in statement.imports if one.name != "*"]  # names of that are followed
        return [*((module, name) for name in statement.reads), *imported]

    def _place(self, imported: Import) -> tuple[str, str]:
        module, name = imported
        if name and self._is_own(module) and self._is_own(f"{module}.{name}"):
            return f"{module}.{name}", _WHOLE
        return module, name

    def _read(self, module: str) -> ModuleStatements | None:
        data = _source(module)
        package = getattr(sys.modules.get(module), "__package__", None) or module.rpartition(".")[0]
        try:
            return ModuleStatements(decode_source(data), package)
        except (SyntaxError, ValueError):  # no Python: compiled by Cython, for example
            self.pieces.add((module, hashlib.blake2b(data).digest(), 0))
            return None


def _is_own(is_own: Callable[[str], bool], module: str) -> bool:
    try:
        return is_own(module)
    except (ImportError, ValueError):  # there is none of this name
        return False


def _source(module: str) -> bytes:
    """
    Return the content of a module's file.

    Raises:
        LookupError: it can't be read.
    """
    loaded: Any = sys.modules.get(module)
    spec: Any = getattr(loaded, "__spec__", None) if loaded else find_spec(module)
    file = getattr(loaded, "__file__", None) if loaded else spec and spec.origin
    if file is None:
        return b""  # a package without a file
    try:
        with open(file, "rb") as source:
            return bytes(source.read())
    except OSError as error:
        try:
            return bytes(spec.loader.get_source(spec.name).encode())  # in an archive
        except Exception:
            raise LookupError(f"the source of {module}, {file}, can't be read: {error}") from error
