"""The reference: it shows all public names, each has a docstring, and an example that runs."""

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import aioparcs
from aioparcs import ParcsError, errors
from tests.support.documents import blocks

DOCS = Path(__file__).parents[2] / "docs"
ERRORS = DOCS / "errors.md"
PAGES = [ERRORS, *sorted((DOCS / "reference").glob("*.md"))]
MODULES = ("aioparcs", "aioparcs.swarm", "aioparcs.testing")
# The methods of a cluster's client, of which one example is enough; and a record that a method returns.
NO_EXAMPLE = ("SwarmClient.", "Statistics")
# Programs get these from methods: no program passes their parameters.
NOT_MADE = ("Line", "Pool")


def directives() -> Iterator[tuple[str, str, set[str]]]:
    """Yield the directive, the full name and the hidden members of each object that the reference shows."""
    for page in PAGES:
        for text in re.findall(r"(?ms)^<!-- eval-rst\n(.*?)^-->$", page.read_text()):
            module = ""
            for kind, name, options in re.findall(r"(?m)^\.\. ([\w:]+):: ([\w.]+)\n((?: +.*\n)*)", text):
                if kind == "currentmodule":
                    module = f"{name}."
                elif kind == "automodule":
                    yield from (("auto", f"{name}.{one}", set[str]()) for one in import_module(name).__all__)
                else:
                    hidden = set(re.findall(r"\w+", "".join(re.findall(r":exclude-members:(.*)", options))))
                    yield kind, module + name, {"*"} if ":no-members:" in options else hidden


def shown() -> dict[str, Any]:
    """Return the objects and the members that the reference shows."""
    found: dict[str, Any] = {}
    for _, name, hidden in directives():
        module, _, short = name.rpartition(".")
        thing = found[short] = getattr(import_module(module), short)
        if inspect.isclass(thing) and "*" not in hidden:
            found |= {f"{short}.{one}": what for one, what in members(thing) if one not in hidden}
    return found


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the public members of a class that aioparcs defines."""
    for name in dir(kind):
        owner = next((one for one in kind.__mro__ if name in vars(one)), object)
        if not name.startswith("_") and owner.__module__.startswith("aioparcs"):
            value = vars(owner)[name]
            yield name, value.__func__ if isinstance(value, classmethod | staticmethod) else value


def test_the_reference_shows_every_public_name() -> None:
    public = {f"{module}.{name}" for module in MODULES for name in import_module(module).__all__}
    assert {name for _, name, _ in directives()} - {"aioparcs.channel.Statistics"} == public


@pytest.mark.slow
def test_every_name_of_the_reference_has_a_docstring_that_names_its_parameters() -> None:
    missing = [name for name, thing in shown().items() if not all(described(name, thing))]
    assert not missing


def described(name: str, thing: Any) -> Iterator[bool]:
    """Yield whether each thing is said that has to be."""
    text = inspect.getdoc(thing) or ""
    owner, _, member = name.rpartition(".")
    if callable(thing):
        yield bool(text)
        yield from (re.search(rf"\b{one}\b", text) is not None for one in parameters(thing) if "see `" not in text)
    elif isinstance(thing, property):
        yield bool(text)
    elif owner:  # a field, which the class describes
        kinds = shown()[owner].__mro__
        yield any(re.search(rf"\b{member}\b", inspect.getdoc(kind) or "") is not None for kind in kinds[:-1])


def parameters(thing: Callable[..., Any]) -> list[str]:
    if inspect.isclass(thing) and (issubclass(thing, tuple | Exception) or thing.__name__ in NOT_MADE):
        return []  # its attributes are its parameters
    return [name for name in inspect.signature(thing).parameters if name not in ("self", "cls", "args", "kwargs")]


def test_every_name_of_the_reference_has_an_example() -> None:
    used = {word for page in DOCS.rglob("*.md") for block in blocks(page) for word in used_in(block.text, block.words)}
    used |= set(re.findall(r"\w+", str(import_module("aioparcs.testing").__doc__)))
    names = {
        name.rpartition(".")[2]
        for name, thing in shown().items()
        if (callable(thing) or isinstance(thing, property)) and not name.startswith(NO_EXAMPLE)
    }
    assert names <= used


def used_in(text: str, words: tuple[str, ...]) -> Iterator[str]:
    """Yield the names that a program uses."""
    if words[:1] == ("python",):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute):
                yield node.attr
            elif isinstance(node, ast.Name):
                yield node.id
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name


# Errors


def test_every_error_has_its_section() -> None:
    sections = re.findall(r"(?m)^## (\w+)$", ERRORS.read_text())
    assert sorted(sections) == sorted(errors.__all__)
    assert [kind for kind, name, _ in directives() if name.rpartition(".")[2] in sections] == ["autoexception"] * len(
        sections
    )


@pytest.mark.parametrize("name", errors.__all__)
def test_every_section_of_an_error_says_what_to_do(name: str) -> None:
    section = ERRORS.read_text().split(f"\n## {name}\n")[1].split("\n## ")[0]
    assert issubclass(getattr(aioparcs, name), ParcsError)
    assert name == "ParcsError" or "| what to do |" in section
