"""
Chaos on the real test cluster (root): ``python -m tests.chaos --minutes 5 --seed 1``.

A program (`program`) works through checked items and has messages go round a ring, while faults happen (`faults`).
At the end all that it has written is checked, and that nothing is left on any node. See docs/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

from tests.chaos.checker import check
from tests.chaos.faults import Faults
from tests.cluster import Cluster, down, up
from tests.support.live import Cluster as Swarm
from tests.support.live import hide_swarm, left

_HERE = Path(__file__).parent
_ENDING = 240.0  # seconds that the program has to end


def main() -> int:
    """Run for the time that the arguments say; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
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


def run(cluster: Cluster, folder: Path, seconds: float, seed: int) -> list[str]:
    """Cause faults for some seconds; return what is wrong."""
    swarm = Swarm(cluster.leader.url, cluster.registry.address, cluster.image, cluster.nodes)
    marks = folder / "marks"
    marks.mkdir()
    folder.chmod(0o755)
    marks.chmod(0o777)
    build(swarm)
    faults: Counter[str] = Counter()
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, str(_HERE / "program.py"), str(folder), str(seed), str(seconds)],
            env=environment(swarm), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
        try:
            make_faults(cluster, process, faults, seconds, seed)
            code = process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            return [f"the program has not ended {_ENDING:g} s after its time; see {folder}"]
        finally:
            process.kill()
            process.wait()
    events = [json.loads(line) for line in (folder / "history").read_text().splitlines()]
    problems = [*check(events, marks)]
    if code:
        problems.append(f"the program has ended with exit code {code}: {(folder / 'output').read_text()[-2000:]}")
    jobs = [what for _, kind, what, _ in events if kind == "job"]
    problems += [f"left of job {job}: {one}" for job in jobs for one in left(swarm, job, 60.0)]
    print(summary(events, faults, len(jobs), seconds))
    return problems


def build(swarm: Swarm) -> None:
    """Build the images of the program's modules."""
    command = [sys.executable, "-m", "aioparcs", "build", "work", "ring", "--modules", str(_HERE / "modules"), "--push"]
    subprocess.run(command, env=environment(swarm), check=True, capture_output=True, timeout=300)


def environment(swarm: Swarm) -> dict[str, str]:
    """Return the environment of a program that uses the cluster."""
    return {**os.environ, **swarm.environment, "PARCS_MODULES": str(_HERE / "modules"), "PARCS_HISTORY": "off"}


def make_faults(
    cluster: Cluster, process: subprocess.Popen[bytes], faults: Counter[str], seconds: float, seed: int
) -> None:
    """Cause faults of processes, and beside them faults of machines, until the time is over, or the program."""
    begun = time.monotonic()

    def note(kind: str, what: str) -> None:
        faults[kind] += 1
        print(f"{time.monotonic() - begun:7.1f} s  {kind}: {what}", flush=True)

    def make(of_machines: bool) -> None:
        random = Random(f"{seed} {of_machines}")
        making = Faults(cluster, random, process.pid, note, of_machines=of_machines)
        try:
            while process.poll() is None and time.monotonic() - begun < seconds:
                time.sleep(random.random() * (10 if of_machines else 2))
                making.happen()
        finally:
            making.undo()

    with ThreadPoolExecutor() as threads:
        for making in [threads.submit(make, of_machines) for of_machines in (False, True)]:
            making.result()


def summary(events: list[list[Any]], faults: Counter[str], jobs: int, seconds: float) -> str:
    """Return the counts of a run."""
    kinds = Counter(kind for _, kind, _, _ in events)
    what = ", ".join(f"{count} {kind}" for kind, count in sorted(faults.items()))
    return (
        f"{seconds / 60:g} minutes, {faults.total()} faults ({what}): {jobs} jobs, {kinds['ok']} items done, "
        f"{kinds['fail']} failed with an error, {kinds['ring']} rings of {200} messages"
    )


if __name__ == "__main__":
    sys.exit(main())
