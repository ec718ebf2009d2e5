"""How many workers a process can have connections to, and that it can open no more files."""

from __future__ import annotations

import errno
import resource

from aioparcs.errors import StartError

__all__ = ["check_file_limit", "os_reason"]

# Open files besides the workers' connections: standard streams, the loop, listeners, and some for the user.
_SPARE_FILES = 24


def check_file_limit(module: str, workers: int) -> None:
    """
    Refuse more workers than this process can have connections.

    Args:
        module: what is to be started.
        workers: how many workers there would be.

    Raises:
        StartError: the limit of open files is lower.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if workers + _SPARE_FILES > limit:
        raise StartError(
            module,
            f"{workers} workers need about {workers + _SPARE_FILES} open files, and this process may have {limit}: "
            "raise the limit (ulimit -n) or start fewer",
        )


def os_reason(error: OSError) -> str:
    """Return what went wrong, for people; at the limit of open files also what to do."""
    if error.errno == errno.EMFILE:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return (
            f"this process has as many files open as it may, {limit} (RLIMIT_NOFILE): "
            "raise the limit (ulimit -n), start fewer workers, or close files"
        )
    return error.strerror or str(error)
