"""
The words check: aioparcs' docstrings and names use the field's terms.

Usage: ``python .ci/words.py [FOLDER ...]``; exits with 1 after a line for each place to mend. The docstrings of click's
commands are left alone: they are what ``--help`` prints.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

VERBS = {  # first words of a function's docstring
    "Give": "Return, Pass or Yield",
    "Have": "the verb of what is done (Call, Start, Send)",
    "Hear": "Read, Receive or Wait",
    "Know": "Return",
    "Let": "the verb of what is done (Wake, Release, Allow)",
    "Make": "Return, Create or Build",
    "Say": "Return, Report or Print",
    "Take": "Add, Receive or Remove",
    "Tell": "Return, Report or Send",
}
OPENINGS = ("How", "What", "Where", "Whether", "Which", "Who", "Whoever", "Whose", "Why")  # of a module's docstring
NAMES = {  # parts of identifiers, and what they are called in this field
    "crew": "workers",
    "diaries": "result_logs",
    "diary": "result_log",
    "nurseries": "fork_servers",
    "nursery": "fork_server",
    "obituaries": "reports",
    "obituary": "report",
    "offspring": "spawned workers",
    "rehearse": "prewarm",
    "rehearsed": "prewarmed",
    "rehearses": "prewarms",
    "untold": "unsent or unreported",
    "workforce": "workers",
}


def check(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the advice for each place to mend in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for old in parts(path.stem) & NAMES.keys():
        yield 1, f"{path.name}: the file's name says {old!r}; write {NAMES[old]}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef) and (text := ast.get_docstring(node)):
            word = re.findall(r"\w+", text)[0]
            line = node.body[0].lineno
            if isinstance(node, ast.Module):
                if word in OPENINGS:
                    yield line, f"a module's docstring begins with {word!r}; write a noun phrase with the field's term"
            elif word in VERBS and not is_command(node):
                yield line, f"the docstring of {node.name} begins with {word!r}; write {VERBS[word]}"
        for name in names(node):
            for old in sorted(parts(name) & NAMES.keys()):
                yield getattr(node, "lineno", 1), f"the name {name} says {old!r}; write {NAMES[old]}"


def is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return True for a command or a group of click's."""
    calls = [decorator.func for decorator in node.decorator_list if isinstance(decorator, ast.Call)]
    return any(isinstance(call, ast.Attribute) and call.attr in ("command", "group") for call in calls)


def names(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node binds, or that it uses as an attribute or an argument."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.arg | ast.keyword) and node.arg:
        yield node.arg
    elif isinstance(node, ast.alias):
        yield node.asname or node.name


def parts(name: str) -> set[str]:
    """Return the words of an identifier, in lower case: those of snake_case and of CamelCase."""
    return {part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def main(folders: list[str]) -> int:
    """Print each place to mend; return the exit code."""
    found = 0
    for path in sorted(path for folder in folders for path in Path(folder).rglob("*.py")):
        for line, advice in sorted(check(path)):
            print(f"{path}:{line}: {advice}")
            found += 1
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["aioparcs"]))
