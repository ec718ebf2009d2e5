"""
The words check: aioparcs' docstrings and names use the field's terms, and all texts use today's English.

Usage: ``python .ci/words.py [PATH ...]``; exits with 1 after a line for each place to change. A path is a file or a
folder of Python programs or Markdown pages; code blocks of pages are not checked. The docstrings of click's commands
may begin with any word: they are what ``--help`` prints.
"""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

VERBS = {  # first words of a function's docstring
    "Give": "Return, Pass or Yield",
    "Have": "the verb of what is done (Call, Start, Send)",
    "Hear": "Read, Receive or Wait",
    "Know": "Return",
    "Let": "the verb of what is done (Wake, Release, Allow)",
    "Make": "Return, Create or Build",
    "Say": "Return, Report or Print",
    "See": "Check",
    "Take": "Add, Receive or Remove",
    "Tell": "Return, Report or Send",
}
OPENINGS = ("How", "What", "Where", "Whether", "Which", "Who", "Whoever", "Whose", "Why")  # of a module's docstring
NAMES = {  # parts of identifiers, and what they are called in this field
    "anybody": "a word for who: peer, client, program",
    "asked": "requested",
    "bury": "close or reap",
    "crew": "workers",
    "diaries": "result_logs",
    "deadly": "killing, or what it does",
    "deed": "condition or event",
    "diary": "result_log",
    "doomed": "victim, or what becomes of it",
    "duty": "condition or readiness",
    "everybody": "all",
    "farewell": "goodbye or closing",
    "forgo": "drop",
    "hear": "recv, read or listen",
    "heard": "received",
    "hearing": "receiving",
    "hungry": "unsaturated",
    "insist": "force",
    "mend": "restore or fix",
    "nobody": "no worker, no program: name who",
    "nurseries": "fork_servers",
    "nursery": "fork_server",
    "obituaries": "reports",
    "obituary": "report",
    "offspring": "spawned workers",
    "rehearse": "prewarm",
    "rehearsed": "prewarmed",
    "rehearses": "prewarms",
    "said": "output, message, text or expected",
    "somebody": "a word for who: peer, client, program",
    "staff": "workers",
    "stranger": "anonymous, or unauthenticated",
    "tell": "send, report or request",
    "tells": "sends, reports or returns",
    "told": "output, message, reported or sent",
    "unsaid": "unsent or unreported",
    "untold": "unsent or unreported",
    "whoever": "a word for who: peer, client, program",
    "whom": "a word for who: peer, client, program",
    "witness": "recorder",
    "workforce": "workers",
}
PHRASES = {  # in strings, comments and pages
    "any more": "no longer",
    "anew": "again",
    "anybody": "anyone",
    "at the longest": "at most",
    "everybody": "all workers, all programs: name who",
    "for ever": "forever",
    "for want of": "because ... ran out",
    "nobody": "no worker, no program: name who",
    "parted by": "separated by",
    "somebody": "a worker, a program: name who",
    "whoever": "a program that, a worker that",
    "whomever": "a program that, a worker that",
    "without a word": "silently",
}
PATHS = ("aioparcs", "benchmarks", "docs", "examples", "tests", "CHANGELOG.md", "CONTRIBUTING.md", "README.md")


_PHRASE = re.compile(rf"\b({'|'.join(PHRASES)})\b", re.IGNORECASE)
_OPENING = re.compile(rf'"""\s*({"|".join((*VERBS, *OPENINGS))})\b')


def check(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the advice for each place to change in a file."""
    text = path.read_text(encoding="utf-8")
    lower = text.lower()
    if any(phrase in lower for phrase in PHRASES):  # most files have none, which is seen faster than line by line
        yield from phrases(path, text)
    if path.suffix == ".py" and path.parts[0] != "examples":  # examples have users' programs, with words of their own
        for old in parts(path.stem) & NAMES.keys():
            yield 1, f"{path.name}: the file's name says {old!r}; write {NAMES[old]}"
        if _OPENING.search(text) or any(part in lower for part in NAMES):
            yield from terms(ast.parse(text, str(path)))


def phrases(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the advice for each phrase that has a plainer one."""
    is_code = False
    for number, line in enumerate(text.splitlines(), start=1):
        if path.suffix == ".md" and line.startswith("```"):
            is_code = not is_code
        elif not is_code:
            for old in _PHRASE.findall(line):
                yield number, f"{old!r}; write {PHRASES[old.lower()]}"


def terms(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the advice for each docstring or name that is not in the field's terms."""
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


@cache
def parts(name: str) -> frozenset[str]:
    """Return the words of an identifier, in lower case: those of snake_case and of CamelCase."""
    return frozenset(part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name))


def files(path: Path) -> Iterator[Path]:
    """Yield the programs and pages of a folder, or a file itself."""
    if path.is_file():
        yield path
    else:
        yield from sorted(file for file in path.rglob("*") if file.suffix in (".py", ".md"))


def main(paths: list[str]) -> int:
    """Print each place to change; return the exit code."""
    found = 0
    for path in paths:
        for file in files(Path(path)):
            for line, advice in sorted(check(file)):
                print(f"{file}:{line}: {advice}")
                found += 1
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(PATHS)))
