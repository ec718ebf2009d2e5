"""Start this program again under Open MPI, over TCP of this machine alone."""

from __future__ import annotations

import os
import sys

_OPTIONS = ("--mca", "btl", "tcp,self", "--mca", "pml", "ob1", "--mca", "btl_tcp_if_include", "lo")
_QUIET = ("--mca", "mpi_yield_when_idle", "1", "--oversubscribe", "--bind-to", "none")


def start(module: str, ranks: int, *arguments: str) -> None:
    """Replace this process by ``mpirun``, unless it is already one of its ranks; rank 0 has the standard input."""
    if "OMPI_COMM_WORLD_RANK" in os.environ:
        return
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    command = ["mpirun", *_OPTIONS, *_QUIET, "-n", str(ranks), sys.executable, "-m", module, *arguments]
    os.execvpe(command[0], command, {**os.environ, **allowed})
