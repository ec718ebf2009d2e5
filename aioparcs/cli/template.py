"""The project that ``aioparcs new`` creates."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

__all__ = ["command_line", "copy_to", "why_no_project"]

# Templates aren't named *.py: they are read, never imported, compiled or checked as a part of this package.
SUFFIX = ".in"


def why_no_project(name: str) -> str | None:
    """Return why a new folder can't have this name, or None."""
    last = os.path.basename(os.path.abspath(name))
    if not name.strip() or last != last.strip():
        return "it is blank, or has a blank at an end"
    if not name.isprintable():
        return "it has characters that can't be printed"
    if last == __package__.partition(".")[0]:
        return "Python would find the folder instead of the package"
    return None


def copy_to(folder: Path) -> None:
    """
    Write a new project into a folder that is not there yet; parents are made.

    Raises:
        FileExistsError: something of that name is there.
        OSError: it can't be written.
    """
    from importlib.resources import as_file, files  # with tempfile and its compressors, which no other command needs

    folder.mkdir(parents=True)
    with as_file(files(__package__) / "templates") as templates:
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
