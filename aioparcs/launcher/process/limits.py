"""The limits of one worker: those that the kernel can't enforce are refused, and the kernel enforces the others."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Mapping
from typing import Any

from aioparcs.transport import file_limit

__all__ = ["apply_limits", "free_cpus", "limits_refusal_reason", "process_error_reason", "too_few_files"]

# Bytes that a worker needs, besides what it shares, to run at all: its loop, its buffers, a thread's stack.
_WORKER_MEMORY = 16 << 20
# Bytes by which the advice is above what is just enough. A launcher holds more at its next request than at this one
# (0.3 MiB measured), and more when it has to compile what it imports (1 to 5 MiB).
_MARGIN = 16 << 20
# What the kernel's limits are counted in: signed 64 bits here, and the largest means none.
_LARGEST = 2**63 - 1


def limits_refusal_reason(limits: Mapping[str, Any]) -> str | None:
    """Return the reason why a worker can't run with its limits, or None: the launcher's memory counts for each."""
    cpus, memory = limits.get("cpus"), limits.get("memory")
    available = len(os.sched_getaffinity(0))
    if cpus is not None and not (isinstance(cpus, int | float) and 1 <= cpus <= available):
        return f"cpus={cpus!r}: the launcher assigns whole CPUs, and may use {available}"
    if memory is None:
        return None
    if type(memory) is not int or not 0 < memory <= _LARGEST:
        return f"memory={memory!r}: it must be a whole number of bytes, from 1 to {_LARGEST}"
    held = _held()
    if memory >= held + _WORKER_MEMORY:
        return None
    needed = -(-(held + _WORKER_MEMORY + _MARGIN) >> 20)
    return (
        f"memory={_size(memory)} is too little: main.py holds {held >> 20} MiB when it calls serve(...), which count "
        f"for each worker; give it {needed}m or more, or load less"
    )


def apply_limits(limits: Mapping[str, Any], worker: int) -> None:
    """Set this process's limits in the kernel."""
    if "cpus" in limits:
        os.sched_setaffinity(0, free_cpus(worker, int(limits["cpus"])))
    if "memory" in limits:
        # Data, not address space: what is mapped but isn't private and writable, such as library code, doesn't count.
        resource.setrlimit(resource.RLIMIT_DATA, (limits["memory"], limits["memory"]))


def free_cpus(worker: int, count: int) -> set[int]:
    """Return ``count`` of this process's CPUs for a worker, so that its neighbours get others."""
    allowed = sorted(os.sched_getaffinity(0))
    return {allowed[(worker * count + i) % len(allowed)] for i in range(count)}


def _size(count: int) -> str:
    """Return a size as ``memory=`` takes it: in MiB, ``512m``, or in bytes where those would not be exact."""
    return str(count) if count % (1 << 20) else f"{count >> 20}m"


def too_few_files() -> str:
    """Return what to do when the launcher can open no more files."""
    return f"its launcher may have {file_limit()} open files (ulimit -n): raise the limit or start fewer"


def _held() -> int:
    """Return the size of this process's data segments as the kernel's limit counts it, in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmData:"))


def process_error_reason(error: Exception) -> str:
    """Return the reason why a worker's process can't be made, with the limit that was hit, and what to do."""
    if isinstance(error, LookupError):  # GPUs that are not free
        return str(error)
    if not isinstance(error, OSError):
        return f"can't make a process for it: {error!r}"
    text = f"can't make a process for it: {error.strerror}"
    if error.errno in (errno.EMFILE, errno.ETOOMANYREFS):
        return f"{text}; {too_few_files()}"
    if error.errno == errno.EAGAIN:
        return f"{text}; this user (ulimit -u) or the container (pids limit) is at its limit of processes: start fewer"
    return text
