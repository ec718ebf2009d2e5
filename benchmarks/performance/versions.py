"""The versions of the peers that are here."""

from __future__ import annotations

import re
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = (
    "aioparcs", "distributed", "grpcio", "ipyparallel", "joblib", "mpi4py", "nats-py", "numpy", "pyzmq", "ray",
    "uvloop",
)  # fmt: skip
_PROGRAMS = {"nats-server": "nats-server", "mpirun": "Open MPI"}


def found() -> dict[str, str]:
    """Return the version of each by its name."""
    versions: dict[str, str] = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    for program, name in _PROGRAMS.items():
        with suppress(FileNotFoundError):
            text = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
            if number := re.search(r"\d+(\.\d+)+", text):
                versions[name] = number[0]
    return versions
