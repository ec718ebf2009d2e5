"""The limit of open files: the number of workers that a process can have connections to."""

from __future__ import annotations

from aioparcs.errors import StartError
from aioparcs.transport import file_limit

__all__ = ["check_file_limit"]

# Open files besides the workers' connections: standard streams, the loop, listeners, and some for the user.
_SPARE_FILES = 24


def check_file_limit(module: str, workers: int) -> None:
    """
    Raise an error for more workers than this process can have connections.

    Args:
        module: what is to be started.
        workers: how many workers there would be.

    Raises:
        StartError: the limit of open files is lower.
    """
    limit = file_limit()
    if workers + _SPARE_FILES > limit:
        noun = "worker needs" if workers == 1 else "workers need"
        raise StartError(
            module,
            f"{workers} {noun} about {workers + _SPARE_FILES} open files, and this process may have {limit}: "
            "raise the limit (ulimit -n) or start fewer",
        )
