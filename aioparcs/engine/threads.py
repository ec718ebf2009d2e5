"""The variables that set how many threads numerical libraries use in a worker."""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["thread_share", "thread_variables"]

# Where the user has set this one, the libraries with a variable of their own follow it.
_OPENMP = "OMP_NUM_THREADS"
_VARIABLES = (
    _OPENMP,
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def thread_share(cpus: float, environ: Mapping[str, str]) -> int:
    """
    Return how many threads a worker's libraries get, 0 if that is not to be set.

    Args:
        cpus: the worker's share of the CPUs.
        environ: what its environment has already.
    """
    if _OPENMP in environ or os.environ.get("PARCS_THREADS") == "off":
        return 0
    return max(1, int(cpus))


def thread_variables(share: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for a worker's environment, which libraries read when they are loaded; what is set stays."""
    return {name: str(share) for name in _VARIABLES if share and name not in environ}
