"""The command ``aioparcs new``, and the projects that it creates."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click

from aioparcs.cli.modules import Usage

__all__ = ["TEMPLATES", "command_line", "new"]


# Folders of templates/, and what is in each.
TEMPLATES = {
    "file": "a program that counts primes on several workers",
    "pool": "a program that tries many guesses on all CPUs, with a progress bar",
    "conversation": "a program that sends messages to its workers, and receives theirs",
    "crawler": "a program that fetches the pages of a site",
    "notebook": "a notebook, and the functions that its workers run",
}
_LINES = "".join(f"  {name:13} {what}\n" for name, what in TEMPLATES.items())
_EXAMPLES = f"""
\b
Templates:
{_LINES}
\b
Examples:
  aioparcs new hello && aioparcs run hello
  aioparcs new search --template pool
"""
# Templates aren't named *.py: they are read, never imported, compiled or checked as a part of this package.
SUFFIX = ".in"


@click.command(epilog=_EXAMPLES)
@click.argument("name", type=click.Path())
@click.option("--template", "kind", metavar="TEMPLATE", type=click.Choice(list(TEMPLATES)), default="file",
              show_default=True, help="What to begin with, see below.")  # fmt: skip
def new(name: str, kind: str) -> None:
    """Make a project: a program with a runner, and what its workers run.

    It can run at once. An existing file or folder NAME is never overwritten.
    """
    problem = _why_no_project(name)
    if problem:
        raise Usage(f"{name!r} can't be a project's name: {problem}")
    try:
        _copy_to(Path(name), kind)
    except FileExistsError:
        raise Usage(f"{name} already exists; choose another name") from None
    except OSError as error:
        raise Usage(f"can't create {name}: {error.strerror}") from None
    click.echo(f"Created {name}: {TEMPLATES[kind]}. {'Open' if kind == 'notebook' else 'Run'} it:")
    click.echo(f"  {shlex.join(['jupyter', 'lab', name]) if kind == 'notebook' else command_line('run', name)}")


def _why_no_project(name: str) -> str | None:
    """Return why a new folder can't have this name, or None."""
    last = os.path.basename(os.path.abspath(name))
    if not name.strip() or last != last.strip():
        return "it is blank, or has a blank at an end"
    if not name.isprintable():
        return "it has characters that can't be printed"
    if last == __package__.partition(".")[0]:
        return "Python would find the folder instead of the package"
    return None


def _copy_to(folder: Path, kind: str) -> None:
    """
    Write a project of a template into a folder that is not there yet; parents are made.

    Raises:
        FileExistsError: something of that name is there.
        OSError: it can't be written.
    """
    from importlib.resources import as_file, files  # with tempfile and its compressors, which no other command needs

    folder.mkdir(parents=True)
    with as_file(files(__package__) / "templates" / kind) as templates:
        for template in sorted(templates.rglob(f"*{SUFFIX}")):
            target = folder / template.relative_to(templates).with_suffix("")
            target.parent.mkdir(exist_ok=True)
            text = template.read_text(encoding="utf-8")
            target.write_text(text.replace("@NAME@", folder.name), encoding="utf-8")


def command_line(*arguments: str) -> str:
    """Return a command for the shell that calls this program in the way in which it was called."""
    from shutil import which  # for a line of `aioparcs new` only

    script = sys.argv[0]
    if os.path.basename(script) == "__main__.py":
        program = [sys.orig_argv[0], "-m", "aioparcs"]
    elif which(os.path.basename(script)) == os.path.abspath(script):
        program = [os.path.basename(script)]
    else:
        program = [script]
    return shlex.join([*program, *arguments])
