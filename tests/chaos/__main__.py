"""
Chaos on the real test cluster (root): ``python -m tests.chaos --minutes 5 --seed 1``.

A program (`program`) works through checked items and has messages go round a ring, while faults happen to processes
(`processes`) and machines (`machines`). At the end all that it has written is checked, and that nothing is left on any
node. See docs/reliability.md.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import run
from tests.cluster import Cluster, down, up
from tests.support.live import hide_swarm


def main() -> int:
    """Run for the time that the arguments say; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # all faults are undone
    hide_swarm()
    was_up = Cluster.here() is not None
    cluster = up(3, lambda step: print(step, file=sys.stderr))
    folder = Path(tempfile.mkdtemp(prefix="aioparcs-chaos-"))
    try:
        problems = run(cluster, folder, 60 * arguments.minutes, arguments.seed)
    finally:
        if not was_up:
            down()
    print(*problems, sep="\n", end="\n" if problems else "")
    if problems:
        print(f"the history is in {folder}")
    else:
        shutil.rmtree(folder)
    return min(1, len(problems))


if __name__ == "__main__":
    sys.exit(main())
