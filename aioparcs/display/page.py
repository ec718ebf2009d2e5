"""The live page of one program: a server beside it, which ends with it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from aioparcs.display.text import write_line

__all__ = ["open_page"]

_START, _END = 20.0, 5.0  # seconds that the server may take to start and to end
_ROOT = Path(__file__).parents[2]


@contextmanager
def open_page(history: Path, *, is_kept: bool = True) -> Iterator[None]:
    """
    Show a job on a page while the block runs, and print the page's address first.

    The user's server of ``aioparcs ui`` shows it if one runs. A page that can't be shown is one line, and nothing else.

    Args:
        history: the job's history.
        is_kept: whether it stays when the page has ended.
    """
    # A file takes whatever the server writes: a pipe that is read only at the start would block it once it is full.
    with tempfile.TemporaryFile() as errors, subprocess.Popen(
        [sys.executable, "-P", "-m", "aioparcs", "ui", "--beside", history.stem, *(() if is_kept else ("--unkept",))],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        start_new_session=True,  # Ctrl-C is for the program: its end is shown, too
    ) as server:  # fmt: skip
        try:
            address = _address(server)
            problem = "" if address else f"the page can't be shown, the job goes on: {_reason(server, errors)}"
            write_line(problem or f"page: {address}")
            yield
        finally:
            _end(server)
            if not is_kept:
                history.unlink(missing_ok=True)


def _address(server: subprocess.Popen[bytes]) -> str:
    """Return the line that a server prints when it is ready, "" if it has failed."""
    assert server.stdout
    is_ready, _, _ = select.select([server.stdout], [], [], _START)
    return server.stdout.readline().decode().strip() if is_ready else ""


def _reason(server: subprocess.Popen[bytes], errors: IO[bytes]) -> str:
    """Return the last line that a server which has failed wrote to standard error."""
    server.kill()
    server.wait()
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "its server has not started"


def _end(server: subprocess.Popen[bytes]) -> None:
    assert server.stdin
    server.stdin.close()
    try:
        server.wait(_END)
    except subprocess.TimeoutExpired:
        server.kill()
