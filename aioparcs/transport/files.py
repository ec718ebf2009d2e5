"""The limit of open files, each connection being one, and what its errors mean."""

from __future__ import annotations

import errno
import resource

__all__ = ["file_limit", "os_reason", "raise_file_limit"]


def file_limit() -> int:
    """Return how many files this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_file_limit() -> None:
    """Raise the limit of open files as far as the system allows: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            pass  # the hard limit is beyond what the kernel allows


def os_reason(error: OSError) -> str:
    """Return the reason of an error for people; at the limit of open files also what to do."""
    if error.errno == errno.EMFILE:
        return (
            f"this process has reached its limit of {file_limit()} open files (RLIMIT_NOFILE): "
            "raise the limit (ulimit -n), start fewer workers, or close files"
        )
    return error.strerror or str(error)
