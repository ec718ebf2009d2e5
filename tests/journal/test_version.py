"""The versions of functions: which changes of a program make another function of one, and which don't."""

import importlib
import json
import math
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aioparcs.journal.version import SIZE, function_version
from aioparcs.launcher.sources import is_own_module

FILES = {
    "jprog.py": """
import math
import jhelpers
from jhelpers import double, halve as half
from jpackage import inner
from jpackage.deep import deepest
from aioparcs import Runner, run

LIMIT = 10
TABLE = {}
TABLE["one"] = 1
OTHER = 5
STATE = None


def setup(value):
    global STATE
    STATE = value


def plain(n):
    return n + 1


def uses(n):
    result = double(n)
    return result + LIMIT + TABLE["one"] + math.pi


def whole(n):
    return jhelpers.halve(n)


def packaged(n):
    return inner.value(n) + deepest(n)


def late(n):
    from jhelpers import lazy

    return lazy(n)


def stateful(n):
    return STATE


def decorate(function):
    return function


@decorate
def decorated(n):
    return n


class Base:
    factor = 1


class Model(Base):
    @staticmethod
    def method(n):
        return n * Model.factor


if LIMIT > 5:

    def conditional(n):
        return n


anonymous = lambda n: plain(n)


async def main(runner: Runner) -> None:
    result = plain(1)
    print(result, half)


if __name__ == "__main__":
    run(main)
""",
    "jhelpers.py": """
SCALE = 2


def double(n):
    return n * SCALE


def halve(n):
    return n / 2


def lazy(n):
    return n
""",
    "jpackage/__init__.py": "",
    "jpackage/inner.py": "def value(n):\n    return n\n",
    "jpackage/deep/__init__.py": "from .leaf import *\n",
    "jpackage/deep/leaf.py": """
from .. import inner


def deepest(n):
    return inner.value(n)


def unused():
    pass
""",
}
MODULES = ("jprog", "jhelpers", "jpackage", "jpackage.inner", "jpackage.deep", "jpackage.deep.leaf")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Write a program, and import it."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    importlib.import_module("jprog")
    yield tmp_path
    for module in MODULES:
        sys.modules.pop(module, None)


def _version(name: str) -> bytes:
    function: Any = sys.modules["jprog"]
    for part in name.split("."):
        function = getattr(function, part)
    return function_version(function, is_own_module)


@pytest.mark.parametrize(
    "function, file, old, new",
    [
        ("plain", "jprog.py", "n + 1", "n + 2"),
        ("uses", "jprog.py", "LIMIT = 10", "LIMIT = 11"),
        ("uses", "jprog.py", 'TABLE["one"] = 1', 'TABLE["one"] = 2'),
        ("uses", "jprog.py", "TABLE = {}", 'TABLE = {"two": 2}'),
        ("uses", "jhelpers.py", "n * SCALE", "SCALE * n"),
        ("uses", "jhelpers.py", "SCALE = 2", "SCALE = 3"),
        ("uses", "jprog.py", "import double, halve as half", "import halve as double"),
        ("whole", "jhelpers.py", "SCALE = 2", "SCALE = 3"),
        ("uses", "jprog.py", 'TABLE = {}\nTABLE["one"] = 1\n', 'TABLE["one"] = 1\nTABLE = {}\n'),
        ("packaged", "jpackage/inner.py", "return n", "return n + 1"),
        ("packaged", "jpackage/deep/leaf.py", "return inner.value(n)", "return inner.value(n) + 1"),
        ("late", "jhelpers.py", "def lazy(n):\n    return n", "def lazy(n):\n    return -n"),
        ("stateful", "jprog.py", "STATE = value", "STATE = value + 1"),
        ("decorated", "jprog.py", "    return function", "    return abs"),
        ("decorated", "jprog.py", "@decorate\n", ""),
        ("Model.method", "jprog.py", "n * Model.factor", "n"),
        ("Model.method", "jprog.py", "factor = 1", "factor = 2"),
        ("conditional", "jprog.py", "LIMIT > 5", "LIMIT > 6"),
        ("conditional", "jprog.py", "LIMIT = 10", "LIMIT = 12"),
        ("anonymous", "jprog.py", "OTHER = 5", "OTHER = 6"),  # it has no name, so all of its module counts
    ],
)
@pytest.mark.slow
def test_what_a_function_is_made_of_counts(program: Path, function: str, file: str, old: str, new: str) -> None:
    before = _version(function)
    assert len(before) == SIZE
    assert before == _version(function)
    text = FILES[file].replace(old, new)
    assert text != FILES[file]
    (program / file).write_text(text)
    assert _version(function) != before


@pytest.mark.parametrize(
    "function, file, old, new",
    [
        ("plain", "jprog.py", "LIMIT = 10", "LIMIT = 11"),
        ("plain", "jprog.py", "    result = plain(1)\n", "    result = plain(2)\n"),
        ("plain", "jprog.py", "import math\n", "import math\nimport json\n\n# A comment between functions.\n"),
        ("uses", "jprog.py", "    result = plain(1)\n", "    result = uses(2)\n"),
        ("uses", "jprog.py", 'if __name__ == "__main__":', 'if __name__ == "__main__" and OTHER:'),
        ("uses", "jhelpers.py", "n / 2", "n // 2"),
        ("uses", "jprog.py", "import double, halve as half", "import double, lazy as half"),
        ("uses", "jprog.py", "\nOTHER = 5\n", "\nmath.floor(OTHER)\nOTHER = 5\n"),
        ("packaged", "jpackage/deep/leaf.py", "def unused():\n    pass", "def unused():\n    return 1"),
        ("packaged", "jhelpers.py", "n / 2", "n // 2"),
        ("uses", "jprog.py", "\nLIMIT = 10\n", "\n\x0c\n# Moved.\nLIMIT = 10\n"),
        ("uses", "jhelpers.py", FILES["jhelpers.py"], "def double(n):\n    return n * SCALE\n\n\nSCALE = 2\n"),
        ("stateful", "jprog.py", "return n + 1", "return n + 2"),
        ("decorated", "jprog.py", "\n\n\ndef decorate(f", "\n\x0c\n\x0c\n\ndef decorate(f"),
        ("conditional", "jprog.py", "return n + 1", "return n + 2"),
    ],
)
def test_what_it_does_not_use_does_not_count(program: Path, function: str, file: str, old: str, new: str) -> None:
    before = _version(function)
    text = FILES[file].replace(old, new)
    assert text != FILES[file]
    (program / file).write_text(text)
    assert _version(function) == before


@pytest.mark.parametrize("function", [math.factorial, json.dumps])
def test_what_is_installed_is_known_by_its_name_alone(function: Callable[..., Any]) -> None:
    assert function_version(function, is_own_module) == function_version(len, is_own_module)


def test_an_archive_has_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "archive.zip"
    versions = set()
    for text in ("def f():\n    return 1\n", "def f():\n    return 2\n"):
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("jzipped.py", text)
        monkeypatch.syspath_prepend(archive)
        importlib.invalidate_caches()
        versions.add(function_version(importlib.import_module("jzipped").f, is_own_module))
        del sys.modules["jzipped"]
    assert len(versions) == 2


def test_a_file_that_is_gone_is_an_error(program: Path) -> None:
    (program / "jhelpers.py").unlink()
    _version("plain")
    with pytest.raises(LookupError, match=r"the source of jhelpers, .*jhelpers.py, can't be read"):
        _version("uses")


def test_a_file_that_is_no_python_counts_as_a_whole(program: Path) -> None:
    before = _version("uses")
    versions = {before}
    for content in (b"\x7fELF\0\1", b"\x7fELF\0\2"):
        (program / "jhelpers.py").write_bytes(content)
        versions.add(_version("uses"))
    assert len(versions) == 3
