"""The kernel's count of processes killed because memory ran out."""

from __future__ import annotations

import re

__all__ = ["OUT_OF_MEMORY", "count_oom_kills"]

OUT_OF_MEMORY = "killed by the kernel: its container has no more memory (see memory=)"

# The control group's own counters, as a container sees them: version 2 and version 1.
_COUNTERS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


def count_oom_kills() -> int:
    """Count the processes of this container that were killed because memory ran out; 0 where there is no count."""
    for path in _COUNTERS:
        try:
            with open(path) as file:
                found = re.search(r"^oom_kill (\d+)$", file.read(), re.MULTILINE)
        except OSError:
            continue
        if found:
            return int(found[1])
    return 0
