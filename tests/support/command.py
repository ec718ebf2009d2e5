"""Running the command line in a process of its own: through pipes, and in a terminal."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

__all__ = ["COMMAND", "ENVIRONMENT", "EXAMPLES", "TIMEOUT", "execute", "in_terminal", "run", "visible"]

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMAND = [sys.executable, "-m", "aioparcs"]
TIMEOUT = 100  # seconds: far more than any command of a test takes, far less than a hang
_NOT_PASSED_ON = ("LEADER_URL", "PARCS_MODULES", "N", "P", "PYTEST_ADDOPTS")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}


def run(*arguments: str | Path, cwd: Path | None = None, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run ``aioparcs`` through pipes, with variables added to the environment."""
    return execute([*COMMAND, *map(str, arguments)], cwd, **env)


def execute(command: list[str], cwd: Path | None = None, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run any command through pipes."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=ENVIRONMENT | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def in_terminal(
    *arguments: str | Path, command: Sequence[str] = COMMAND, stdout: int | None = None, **env: str
) -> tuple[int, str]:
    """Run ``aioparcs``, or another command, in a terminal of 100 columns; give the exit code and all that it wrote."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        try:
            process = subprocess.Popen(
                [*command, *arguments],
                env=ENVIRONMENT | {"TERM": "xterm-256color"} | env,
                stdin=theirs, stdout=stdout or theirs, stderr=theirs, start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(theirs)
        with process:
            written = b"".join(iter(lambda: _read(terminal.fileno()), b""))
            return process.wait(TIMEOUT), written.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # EIO: no process has the other end open
        return b""


def visible(written: str) -> str:
    """Return a terminal's output without escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
