"""The number of CPUs that this process may keep busy."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["usable_cpus"]

_PROC = Path("/proc/self")


def usable_cpus() -> int:
    """
    Return how many CPUs this process may use: those of its affinity, but no more than its cgroups have time for.

    From Python 3.13 on ``-X cpu_count`` and ``PYTHON_CPU_COUNT`` are the number, as for ``os.process_cpu_count()``.
    """
    number = _chosen_number()
    if number is not None:
        return number
    return max(1, min([len(os.sched_getaffinity(0)), *map(math.ceil, _quotas(_PROC))]))


def _chosen_number() -> int | None:
    """Return the number of CPUs that the user has chosen for Python, which has checked it; None for no such choice."""
    if not hasattr(os, "process_cpu_count"):  # before 3.13
        return None
    from_env = None if sys.flags.ignore_environment else os.environ.get("PYTHON_CPU_COUNT")
    text = sys._xoptions.get("cpu_count", from_env)
    return int(text) if isinstance(text, str) and text.isdecimal() else None


def _quotas(proc: Path) -> Iterator[float]:
    """Yield how many CPUs' time the cgroups of a process have, of both versions, and those above them."""
    try:
        groups = (proc / "cgroup").read_text().splitlines()
        mounts = (proc / "mountinfo").read_text().splitlines()
    except OSError:
        return
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for folder in _folders(path, controllers, mounts):
            quota = _quota_v1(folder) if controllers else _quota_v2(folder)
            if quota is not None:
                yield quota


def _folders(path: str, controllers: str, mounts: list[str]) -> Iterator[Path]:
    """Yield the folders of a cgroup and of those above it, as far as they are mounted here."""
    for mount in mounts:
        fields, _, others = mount.partition(" - ")
        kind, _, *options = others.split(" ")
        root, point = fields.split(" ")[3:5]
        if kind != ("cgroup" if controllers else "cgroup2") or (controllers and "cpu" not in options[0].split(",")):
            continue
        inner = path.removeprefix(root.rstrip("/")) if (path + "/").startswith(root.rstrip("/") + "/") else ""
        folder = Path(point + inner)
        yield from (one for one in (folder, *folder.parents) if one.is_relative_to(point))
        return


def _quota_v1(folder: Path) -> float | None:
    try:
        quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None


def _quota_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # as "max", or at the root, which has none
        return None
