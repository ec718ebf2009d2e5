"""
Run the programs of docs/comparison.md: ``python -m benchmarks.comparison``.

Each runs in the environment that this runs in (`make bench-pool` makes one with all peers, build/bench-venv) and must
print the same number. What is not installed is named, and left out. Celery's broker is Debian's redis-server, mpiexec
is of its openmpi-bin. The programs for the original PARCS run on the library of its names in benchmarks/original.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.harness import ROOT

_PAGE = ROOT / "docs" / "comparison.md"
_EXPECTED = "5133"
_PATIENCE = 120.0  # seconds for a program, and for the start of what it needs
_REDIS = 6379


class Peer(NamedTuple):
    """A program of the page."""

    name: str
    package: str  # on whose version it depends; "" for Python itself
    command: tuple[str, ...]  # after Python
    beside: tuple[tuple[str, ...], ...] = ()  # programs that run meanwhile
    before: tuple[str, ...] = ()  # what starts it, before Python

    def missing(self) -> str:
        """Return what is not installed, "" if nothing is missing."""
        programs = [command[0] for command in (*self.beside, self.before) if command]
        absent = [program for program in programs if program != "celery" and not shutil.which(program)]
        return ", ".join([*absent, *([self.package] if self.package and not _version(self.package) else [])])


PEERS = (
    Peer("aioparcs", "aioparcs", ("main.py",)),
    Peer("multiprocessing", "", ("with_multiprocessing.py",)),
    Peer("Dask", "distributed", ("with_dask.py",)),
    Peer("Ray", "ray", ("with_ray.py",)),
    Peer(
        "Celery", "celery", ("with_celery.py",),
        (("redis-server", "--save", ""), ("celery", "-A", "tasks", "worker", "--concurrency", "4")),
    ),
    Peer("mpi4py", "mpi4py", ("with_mpi.py",), (), ("mpiexec", "--allow-run-as-root", "--oversubscribe", "-n", "4")),
    Peer("the original PARCS", "", ("runner.py",)),
)  # fmt: skip


def main() -> int:
    """Run all programs, print a line for each, and return the exit code."""
    failed = False
    with TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in re.findall(r"(?ms)^```py(?:thon)? file=(\S+)\n(.*?)^```$", _PAGE.read_text()):
            (folder / file).write_text(text)
        for peer in PEERS:
            failed |= not _print(peer, folder)
    return int(failed)


def _print(peer: Peer, folder: Path) -> bool:
    """Run a program, print what came of it, and return whether that is as it should be."""
    if missing := peer.missing():
        print(f"{peer.name}: left out; not installed: {missing}")
        return True
    own = _version(peer.package) if peer.package else f"Python {sys.version.split()[0]}"
    with ExitStack() as stack:
        for command in peer.beside:
            stack.enter_context(_running(command, folder))
        done = subprocess.run(
            [*peer.before, sys.executable, *peer.command], cwd=folder, env=_environment(), capture_output=True,
            text=True, timeout=_PATIENCE, check=False,
        )  # fmt: skip
    printed = done.stdout.strip()
    good = done.returncode == 0 and printed == _EXPECTED
    print(f"{peer.name}, {own}: {printed if good else 'FAILED'}", flush=True)
    if not good:
        print(done.stdout, done.stderr, sep="\n", flush=True)
    return good


@contextmanager
def _running(command: tuple[str, ...], folder: Path) -> Iterator[None]:
    """Start a server, and end it with the block."""
    if command[0] == "redis-server" and _answers():
        raise SystemExit(f"port {_REDIS} is taken; stop the Redis that runs there")
    words = [sys.executable, "-m", *command] if command[0] == "celery" else command
    process = subprocess.Popen(
        words, cwd=folder, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        if command[0] == "redis-server":
            _wait_for_redis()
        yield
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def _wait_for_redis() -> None:
    deadline = time.monotonic() + _PATIENCE
    while not _answers():
        if time.monotonic() > deadline:
            raise SystemExit(f"redis-server does not answer on port {_REDIS}")
        time.sleep(0.05)


def _answers() -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", _REDIS)) == 0


def _environment() -> dict[str, str]:
    """Return the variables of the programs: the original's library is found, and Ray sends nothing."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "benchmarks" / "original"), "RAY_USAGE_STATS_ENABLED": "0"}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
