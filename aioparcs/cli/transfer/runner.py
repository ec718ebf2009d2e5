"""The runner's own end of a transfer: its inputs are checked before its program runs, its outputs listed after it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from aioparcs.cli.modules import Usage
from aioparcs.files.listing import SENT, WRITTEN, find_files, list_files, read_listing, write_listing
from aioparcs.files.names import FileNames
from aioparcs.files.reasons import describe

__all__ = ["check_there", "run_with_files"]


def run_with_files(names: FileNames, program: Callable[[], int]) -> int:
    """
    Run a program between the checks of its inputs and of its outputs, and return the exit code.

    A program that was submitted leaves the second one to its submitter, for whom its outputs are listed.
    """
    folder = Path.cwd()
    if os.environ.pop("PARCS_FILES", None):
        return _run_submitted(folder, names, program)
    code = program()
    missing = [name for name in names.fetch if not os.path.lexists(folder / name)]
    if code or not missing:
        return code
    for name in missing:
        print(f"error: --fetch {name}: the runner has not written {folder / name}", file=sys.stderr)
    return 1


def check_there(names: FileNames) -> None:
    """
    Check what is to be sent.

    Raises:
        Usage: something is missing, or is no file or folder.
    """
    for name in names.send:
        try:
            find_files(Path.cwd(), [name])
        except OSError as error:
            raise Usage(f"--send {name}: {describe(error)}") from None


def _run_submitted(folder: Path, names: FileNames, program: Callable[[], int]) -> int:
    try:
        _check_sent(folder)
    except OSError as error:
        print(f"error: the files that were sent can't be used: {describe(error)}", file=sys.stderr)
        return 1
    code = program()
    try:
        (folder / WRITTEN).write_bytes(write_listing(list_files(folder, names.fetch)))
    except OSError as error:  # the submitter fetches them without
        print(f"error: the files to fetch can't be listed: {describe(error)}", file=sys.stderr)
        return code or 1
    return code


def _check_sent(folder: Path) -> None:
    listing = read_listing((folder / SENT).read_bytes())
    (folder / SENT).unlink()
    there = list_files(folder, listing)
    for name, record in listing.items():
        if there.get(name) != record:
            raise OSError(f"{name} is not here as it was sent")
