"""Running the machine's commands: each with a deadline, and an error that quotes what it said."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["ENVIRONMENT", "ClusterError", "detach", "execute", "until"]

_SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # where root's commands are, also under su

ENVIRONMENT = {"PATH": f"{os.environ.get('PATH', '')}:{_SYSTEM}", "LC_ALL": "C.UTF-8", "DOCKER_BUILDKIT": "0"}
"""What commands see of the environment: nothing that would point docker or debootstrap elsewhere."""

_QUOTED = 1500  # characters of a failed command's output that its error quotes
_PAUSE = 0.1  # seconds between two looks at what has no event to wait for


class ClusterError(Exception):
    """The cluster can't be brought up, changed or taken down; says why and what to do."""


def execute(
    *command: str | Path,
    timeout: float = 120,
    stdin: int | None = subprocess.DEVNULL,
    env: dict[str, str] | None = None,
) -> str:
    """
    Run a command and give what it wrote to its standard output.

    Raises:
        ClusterError: it failed, is missing, or took longer than `timeout` seconds and was killed.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, stdin=stdin, capture_output=True, text=True, timeout=timeout, env=ENVIRONMENT if env is None else env
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{words[0]}: no such command; `python -m tests.cluster up` installs it") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{' '.join(words)}` took longer than {timeout:.0f} s") from error
    if done.returncode:
        output = (done.stderr.strip() or done.stdout.strip())[-_QUOTED:]
        raise ClusterError(f"`{' '.join(words)}` failed with exit code {done.returncode}: {output}")
    return done.stdout


def detach(log: Path, *command: str | Path) -> None:
    """Start a command that outlives this process, as a daemon; all that it writes is appended to a file."""
    with log.open("ab") as output:
        subprocess.run(
            ["setsid", "--fork", *map(str, command)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=ENVIRONMENT, check=True, timeout=60,
        )  # fmt: skip


def until(true: Callable[[], object], timeout: float, otherwise: str | Callable[[], str]) -> None:
    """
    Wait for a condition.

    Raises:
        ClusterError: it did not come true within `timeout` seconds; says `otherwise`.
    """
    deadline = time.monotonic() + timeout
    while not true():
        if time.monotonic() > deadline:
            reason = otherwise if isinstance(otherwise, str) else otherwise()
            raise ClusterError(f"{reason} (waited {timeout:.0f} s)")
        time.sleep(_PAUSE)
