"""The top-level statements of a module's source: the names that each binds and reads, and what it imports."""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator
from importlib.util import resolve_name
from typing import NamedTuple

__all__ = ["Import", "ModuleStatements", "Statement"]

# How the text of an import begins, in place of its source: what else is imported on its line does not count.
_IMPORT = "import "
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


class Import(NamedTuple):
    """
    What a statement imports from a module.

    Attributes:
        module: the module's full name.
        name: a name in it, ``*`` for all of them, "" for the module itself.
    """

    module: str
    name: str


class Statement(NamedTuple):
    """
    One statement.

    Attributes:
        text: its source.
        binds: the module's names that it sets.
        reads: the module's names that it uses.
        imports: what it imports, also inside of functions.
    """

    text: str
    binds: frozenset[str]
    reads: frozenset[str]
    imports: tuple[Import, ...]


class ModuleStatements:
    """
    A module as its statements; an import of several names counts as one statement for each.

    Args:
        text: its source.
        package: the package that relative imports begin at, "" for none.

    Raises:
        SyntaxError: the text is no module.

    Attributes:
        statements: all of them, in their order.
    """

    def __init__(self, text: str, package: str) -> None:
        lines = text.split("\n")  # as Python counts them, which splitlines() doesn't
        found: list[tuple[Statement, frozenset[str]]] = []  # and the names whose values each changes
        for node in ast.parse(text).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                found += [(one, frozenset()) for one in _read_import(node, package)]
            else:
                found.append((_read(node, text, lines, package), frozenset(_changed(node))))
        self.statements = [one for one, _ in found]
        imported = {name for one in self.statements if one.text.startswith(_IMPORT) for name in one.binds}
        self._by_name: dict[str, list[Statement]] = {}
        for one, changed in found:
            # What a program does with a module that it imports is no part of that module.
            for name in one.binds | (changed - imported):
                self._by_name.setdefault(name, []).append(one)

    def binding(self, name: str) -> list[Statement]:
        """Return the statements that set a name, or change its value; none for a name of Python's own."""
        return self._by_name.get(name, [])

    @property
    def star_imports(self) -> list[str]:
        """The modules from which all names are imported."""
        return [one.module for statement in self.statements for one in statement.imports if one.name == "*"]


def _read(node: ast.stmt, text: str, lines: list[str], package: str) -> Statement:
    decorators = getattr(node, "decorator_list", ())
    if decorators:
        first = min(decorator.lineno for decorator in decorators)
        source = "\n".join(lines[first - 1 : node.end_lineno])
    else:
        source = ast.get_source_segment(text, node) or ""
    binds, reads = _names(symtable.symtable(source, "", "exec"))
    imports = [found for one in ast.walk(node) for found, _ in _imports(one, package)]
    return Statement(source.rstrip(), frozenset(binds), frozenset(reads), tuple(imports))


def _read_import(node: ast.stmt, package: str) -> Iterator[Statement]:
    for found, name in _imports(node, package):
        text = f"{_IMPORT}{found.module}:{found.name} as {name}"
        yield Statement(text, frozenset({name}), frozenset(), (found,))


def _names(table: symtable.SymbolTable) -> tuple[set[str], set[str]]:
    """Return the names of the module that a scope and those in it set, and read."""
    is_module = table.get_type() == "module"
    binds, reads = set(), set()
    for symbol in table.get_symbols():
        if not is_module and not symbol.is_global():
            continue
        if symbol.is_assigned() or symbol.is_imported():
            binds.add(symbol.get_name())
        if symbol.is_referenced():
            reads.add(symbol.get_name())
    for child in table.get_children():
        inner_binds, inner_reads = _names(child)
        binds |= inner_binds
        reads |= inner_reads
    return binds, reads


def _imports(node: ast.AST, package: str) -> Iterator[tuple[Import, str]]:
    """Yield what a statement imports, and the name that each gets."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, ""), alias.asname or alias.name.partition(".")[0]
    elif isinstance(node, ast.ImportFrom):
        try:
            module = resolve_name("." * node.level + (node.module or ""), package or None)
        except ImportError:  # it is in no package, so it fails when it is run
            return
        for alias in node.names:
            yield Import(module, alias.name), alias.asname or alias.name


def _changed(node: ast.AST) -> Iterator[str]:
    """Yield the names whose values a statement changes: by an attribute, an item, or a method that it calls."""
    if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
        yield from _base(node)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
        yield from _base(node.value.func)
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _SCOPES):
            yield from _changed(child)


def _base(node: ast.AST) -> Iterator[str]:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id
