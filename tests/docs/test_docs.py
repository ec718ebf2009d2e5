"""
The README and the documents: their programs run and print what stands there, and their links lead somewhere.

A block of a document is ```` ```python file=NAME ```` (a file), ```` ```python notebook ```` (a cell, and the ``text``
block behind it is what it prints) or ```` ```console ```` (commands after ``$``, and what they print to standard
output, or to standard error when they fail; ``...`` stands for anything).
"""

import ast
import configparser
import doctest
import importlib.util
import inspect
import re
import shlex
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import click
import pytest

import aioparcs
from aioparcs import Executor, ParcsError, Pool, Runner, Service, Settings, errors, register
from aioparcs.cli import main as command_line
from aioparcs.codec.types import named
from aioparcs.modules.requirements import read_requirements
from aioparcs.testing import memory_channel_pair
from tests.support.command import execute
from tests.support.documents import Block, blocks

ROOT = Path(__file__).parents[2]
README, TUTORIAL, SETTINGS = ROOT / "README.md", ROOT / "docs" / "tutorial.md", ROOT / "docs" / "settings.md"
# Those whose programs run.
PROGRAMS = [
    README,
    TUTORIAL,
    SETTINGS,
    *(
        ROOT / "docs" / name
        for name in (
            "arrays.md",
            "comparison.md",
            "executor.md",
            "explain.md",
            "files.md",
            "functions.md",
            "journal.md",
            "metrics.md",
            "migration.md",
            "peers.md",
            "pool.md",
            "recording.md",
            "top.md",
            "tree.md",
            "ui.md",
            "reference/channel.md",
            "reference/pool.md",
            "reference/runner.md",
        )
    ),
]
ARCHITECTURE, GLOSSARY = ROOT / "docs" / "architecture.md", ROOT / "docs" / "glossary.md"
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "reference").glob("*.md")),
    *ROOT.glob("examples/**/README.md"),
]
# A cell of a notebook: a program without a file, in a loop that runs already.
CELL = """
import ast, asyncio, sys
cell = compile(sys.argv.pop(), "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
asyncio.run(eval(cell, globals()))
"""


class Reader:
    """A reader of a document, who does in a folder what it says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def follow(self, document: Path, section: str) -> None:
        """Write the files of the sections before, and run all of one section."""
        steps = blocks(document)
        end = max(number for number, block in enumerate(steps) if block.section == section)
        cell = ""
        for block in steps[: end + 1]:
            if block.file:
                self.write(block)
            elif block.words == ("console",):
                self.type(block.text, only_cd=block.section != section)
            elif block.section == section and block.words == ("python", "notebook"):
                cell = block.text
            elif block.section == section and block.words == ("text",):
                self.printed(execute([sys.executable, "-c", CELL, cell], self.folder), block.text)

    def write(self, block: Block) -> None:
        path = self.folder / block.file
        if path.exists():
            assert path.read_text() == block.text, f"{block.file} is another one already"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)

    def type(self, text: str, *, only_cd: bool) -> None:
        for command, output in re.findall(r"(?ms)^\$ (.*?)\n(.*?)(?=^\$ |\Z)", text):
            if command.startswith("cd "):
                self.folder /= command[3:]
                self.folder.mkdir(exist_ok=True)
            elif not only_cd:
                self.printed(shell(command, self.folder), output)

    def printed(self, done: "subprocess.CompletedProcess[str]", wanted: str) -> None:
        actual = done.stdout + done.stderr if done.returncode else done.stdout
        assert doctest.OutputChecker().check_output(wanted, actual, doctest.ELLIPSIS), (
            f"{done.args} printed\n{actual}\ninstead of\n{wanted}\nand to standard error\n{done.stderr}"
        )


def shell(command: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    python = shlex.quote(sys.executable)
    command = re.sub(r"^python\b", python, re.sub(r"^aioparcs\b", f"{python} -m aioparcs", command))
    return execute(["sh", "-c", command], folder, XDG_CACHE_HOME=str(folder / ".cache"))


STEPS = [
    (document, section)
    for document in PROGRAMS
    for section in dict.fromkeys(block.section for block in blocks(document))
]


@pytest.mark.slow
@pytest.mark.parametrize("document, section", STEPS, ids=[f"{path.name}-{section}" for path, section in STEPS])
def test_programs_of_the_document_print_what_it_shows(
    request: pytest.FixtureRequest, document: Path, section: str, tmp_path: Path
) -> None:
    if any(block.section == section and "4444" in block.text for block in blocks(document)):
        request.getfixturevalue("original_port")
    Reader(tmp_path).follow(document, section)


@pytest.mark.slow
def test_the_requirements_of_the_tutorials_modules_are_read(tmp_path: Path) -> None:
    (module,) = (block for block in blocks(TUTORIAL) if "# /// script" in block.text)
    (tmp_path / "main.py").write_text(module.text)
    assert read_requirements(tmp_path).names == ("pillow>=10",)


# Public names and their examples


@pytest.mark.slow
def test_every_public_name_is_in_a_program_that_runs() -> None:
    programs = [block for _, steps in _runs().items() for block in steps]
    imported = {
        alias.name
        for program in programs
        for node in ast.walk(ast.parse(program.text))
        if isinstance(node, ast.ImportFrom) and node.module == "aioparcs"
        for alias in node.names
    }
    assert imported == set(aioparcs.__all__)


def _runs() -> dict[Path, list[Block]]:
    """Find the programs of each document that one of its commands runs, or a runner that it runs starts."""
    found: dict[Path, list[Block]] = {}
    for document in PROGRAMS:
        programs = [block for block in blocks(document) if block.words[:1] == ("python",)]
        commands = "".join(block.text for block in blocks(document) if block.words == ("console",))
        run = set(re.findall(r"[\w.]+", commands))
        run |= {
            name
            for block in programs
            for name in re.findall(r'(?:(?:start(?:_many)?|pool)\(|module=)"(\w+)"', block.text)
        }
        imported = {
            f"/{name}.py" for block in programs for name in re.findall(r"(?m)^(?:import|from) (\w+)", block.text)
        }
        found[document] = [
            b
            for b in programs
            if not b.file or b.file.removesuffix("/main.py") in run or f"/{b.file}".endswith(tuple(imported))
        ]
    return found


@pytest.mark.slow
def test_every_module_of_the_documents_is_run_but_the_one_that_needs_the_network() -> None:
    for document, programs in _runs().items():
        left = {block.file for block in blocks(document) if block.words[:1] == ("python",)} - {b.file for b in programs}
        assert left == ({"photos/main.py"} if document == TUTORIAL else set())


def example(thing: object) -> str:
    """Return the indented block after ``::`` in a docstring."""
    found = re.search(r"::\n\n((?:    .*\n|\n)+)", f"{inspect.getdoc(thing)}\n")
    assert found
    return textwrap.dedent(found[1])


@pytest.mark.slow
def test_the_examples_of_service_and_runner_work_together(tmp_path: Path) -> None:
    (tmp_path / "factor").mkdir()
    (tmp_path / "factor" / "main.py").write_text(f"from aioparcs import Service, serve\n{example(Service)}")
    done = execute([sys.executable, "-c", CELL, f"from aioparcs import Runner\n{example(Runner)}"], tmp_path)
    assert done.stdout == "[1, 2, 3, 5, 6, 9, 10, 15, 18, 30, 45, 90]\n", done.stderr


@pytest.mark.slow
def test_the_example_of_pool_works(tmp_path: Path) -> None:
    head = "from aioparcs import run\nn = 3000\ndef divisors(n, a, b): return [i for i in range(a, b) if not n % i]\n"
    body = textwrap.indent(f"{example(Pool)}print(sum(parts, [])[-1])\n", "    ")
    (tmp_path / "main.py").write_text(f"{head}async def main(runner):\n{body}run(main)\n")
    done = execute([sys.executable, "main.py"], tmp_path)
    assert done.stdout == "3000\n", done.stderr


@pytest.mark.slow
def test_the_example_of_executor_works(tmp_path: Path) -> None:
    (tmp_path / "numbers_.py").write_text("def divisors(n): return [i for i in range(1, n + 1) if not n % i]\n")
    head = "from aioparcs import Executor\nfrom numbers_ import divisors\n"
    done = execute([sys.executable, "-c", head + example(Executor)], tmp_path)
    assert done.stdout == "[1, 2, 3, 5, 6, 9, 10, 15, 18, 30, 45, 90]\n", done.stderr


@pytest.mark.slow
async def test_the_example_of_register_works() -> None:
    used = {"register": register, "dataclass": dataclass, "Enum": Enum, "Fraction": Fraction}
    names: dict[str, Any] = {**used, "__name__": __name__}
    named.clear()  # other tests have a Point of their own
    exec(example(register), names)
    here, there, _ = memory_channel_pair()
    async with here, there:
        for value in (names["Point"](1.0, 2.0), names["Colour"].RED, Fraction(1, 3)):
            await here.send(value)
            assert await there.recv() == value
        await here.send(names["HttpError"](404))
        assert (await there.recv()).status == 404
        await here.send_eof()
        await there.send_eof()


@pytest.mark.slow
def test_every_public_docstring_with_an_example_is_tested() -> None:
    examples = {name for name in aioparcs.__all__ if re.search(r"::\n\n    ", _docstring(name))}
    assert examples == {"Executor", "Pool", "Runner", "Service", "register"}


def _docstring(name: str) -> str:
    return inspect.getdoc(getattr(aioparcs, name)) or ""


@pytest.mark.slow
def test_the_documented_tree_of_errors_is_complete() -> None:
    names = r"\w+Error|\w+Closed|\w+Channel|\w+Lost|\w+Timeout|\w+Cancelled|BrokenPool"
    tree = re.findall(rf"^ *([ │├└─]*)({names})\b", str(errors.__doc__), re.M)
    assert next(name for _, name in tree) == "ParcsError"
    assert {name for _, name in tree} == set(errors.__all__)
    for (_, above), (depth, name) in pairwise(tree):
        parent = getattr(errors, above) if depth.startswith("│") else ParcsError
        assert getattr(errors, name).__mro__[1] is parent


# Settings


def rows(document: Path) -> list[list[str]]:
    return [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in document.read_text().splitlines()
        if line.startswith("| `")
    ]


def test_the_table_has_every_setting_with_its_default() -> None:
    table = {name: (default, unit) for name, default, unit, *_ in (row for row in rows(SETTINGS) if len(row) == 5)}
    assert list(table) == [f"PARCS_{field.upper()}" for field in Settings._fields]
    assert Settings.from_env({name: default for name, (default, _) in table.items()}) == Settings()
    for (_, unit), value in zip(table.values(), Settings(), strict=True):
        assert (unit == "seconds") == isinstance(value, float)


def test_the_tables_have_every_variable_that_is_read() -> None:
    code = "".join(path.read_text() for path in (ROOT / "aioparcs").rglob("*.py"))
    read = set(re.findall(r"""environ(?:\.pop\(|\.get\(|\[)"(\w+)"|"(PARCS_\w+)": """, code))
    others = {row[0] for row in rows(SETTINGS) if len(row) < 5}
    assert {name for names in read for name in names if name} == others


# Links and commands


def links(document: Path) -> list[str]:
    prose = re.sub(r"(?ms)^```.*?^```$|`[^`\n]*`", "", document.read_text())
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in link]


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"(?m)^#+ (.*)$", document.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in links(document):
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_exists(document: Path) -> None:
    targets = set(re.findall(r"(?m)^([.a-z-]+):", (ROOT / "Makefile").read_text()))
    for command in commands(document):
        program, *words = shlex.split(command, comments=True)
        if program == "make":
            assert {word for word in words if "=" not in word} <= targets, command
        if program == "aioparcs" and words:
            words = words[: words.index("--")] if "--" in words else words
            named = command_line.get_command(click.Context(command_line), words[0])
            assert named, command
            parameters = named.commands[words[1]].params if isinstance(named, click.Group) else named.params
            options = {option for parameter in parameters for option in parameter.opts}
            assert {word for word in words[1:] if word.startswith("-")} <= options, command
        if program == "python" and words[0] == "-m":
            assert importlib.util.find_spec(words[1]), command


def commands(document: Path) -> list[str]:
    """Find the shell's commands in blocks and in the text."""
    text = document.read_text()
    fenced = "".join(re.findall(r"(?ms)^```(?:sh|console)$\n(.*?)^```$", text))
    others = "\n".join("".join(found) for found in re.findall(r"(?m)^    (.*)$|`([^`\n]+)`", text))
    return re.findall(r"(?m)^(?:\$ )?((?:make|aioparcs|python) [^\n]+)$", f"{fenced}\n{others}")


# Architecture and glossary


def test_the_architecture_draws_the_layers_of_setup_cfg() -> None:
    (drawing,) = (block.text for block in blocks(ARCHITECTURE) if block.section == "Layers")
    drawn = [re.split(r" {3,}", line.strip())[0].split(" | ") for line in drawing.splitlines()]
    assert drawn == _layers()


def test_the_architecture_has_a_line_for_each_package() -> None:
    lines = re.findall(r"(?m)^\| \[(\w+)\]\(\.\./aioparcs/(\w+)(?:\.py)?\) \|", ARCHITECTURE.read_text())
    assert [name for name, _ in lines] == [path for _, path in lines] == list(chain(*_layers()))


def _layers() -> list[list[str]]:
    """Read the layers that import-linter checks, without places that are kept for modules to come."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["importlinter:contract:layers"]["layers"].split("\n")
    return [[name for name in line.split(" | ") if not name.startswith("(")] for line in lines if line]


@pytest.mark.slow
@pytest.mark.parametrize("document", [ARCHITECTURE, GLOSSARY], ids=["architecture", "glossary"])
def test_every_link_to_code_names_what_is_defined_there(document: Path) -> None:
    named = re.findall(r"\[`([\w.]+)`\]\((\.\./aioparcs/[\w/]+\.py)\)", document.read_text())
    assert named
    for name, file in named:
        assert name in _defined(ast.parse((document.parent / file).read_text()).body), f"{name} in {file}"


def _defined(body: list[ast.stmt], owner: str = "") -> set[str]:
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(owner + node.name)
            if isinstance(node, ast.ClassDef):
                found |= _defined(node.body, f"{node.name}.")
    return found


def test_the_glossary_is_short_and_sorted() -> None:
    words = re.findall(r"(?m)^\| (?!word \|)(\w[^|]*) \|", GLOSSARY.read_text())
    assert words == sorted(words)
    assert len(", ".join(words).split(", ")) <= 40


def test_the_readme_says_what_to_type_first() -> None:
    (first, *_) = (block.text for block in blocks(README) if block.words == ("sh",))
    assert [line.partition("#")[0].strip() for line in first.splitlines()] == ["make demo", "make test"]


def test_the_readme_is_one_page() -> None:
    assert len(README.read_text().splitlines()) < 130
