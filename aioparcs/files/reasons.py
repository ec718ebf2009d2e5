"""The words of errors about files."""

from __future__ import annotations

import errno

from aioparcs.transport import os_reason

__all__ = ["describe", "describe_writing"]

_ADVICE = {
    errno.ENOSPC: "make room on that node's disk",
    errno.EDQUOT: "make room on that node's disk",
    errno.EROFS: "it must be a folder that the workers may write to",
    errno.EACCES: "it must be a folder that the workers' user may write to",
    errno.EPERM: "it must be a folder that the workers' user may write to",
    errno.EXDEV: "it is a mount of its own, and can't be sent files",
}


def describe(error: OSError) -> str:
    """Return what an error says, with the file that it is about."""
    if error.errno is None:
        return str(error)
    return f"{error.filename}: {os_reason(error)}" if error.filename else os_reason(error)


def describe_writing(error: OSError, folder: str) -> str:
    """Return what an error says of writing to a folder, and what to do about it."""
    text = describe(error) if error.errno is None or error.filename else f"{folder}: {os_reason(error)}"
    advice = _ADVICE.get(error.errno or 0, "")
    return f"{text}; {advice}" if advice else text
