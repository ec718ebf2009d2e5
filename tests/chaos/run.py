"""A run: the program works on the cluster, faults happen, and all is checked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from random import Random
from typing import Any

from tests.chaos.checker import check, items_of
from tests.chaos.faults import Fault, Schedule
from tests.chaos.machines import MachineFaults, small_disks
from tests.chaos.processes import ProcessFaults, launchers
from tests.cluster import Cluster
from tests.cluster.command import until
from tests.support.live import Cluster as Swarm
from tests.support.live import left

__all__ = ["run"]

_HERE = Path(__file__).parent
_BEGINNING = 120.0  # seconds that the program has until faults may begin
_ENDING = 180.0  # seconds that it has to end
_LIVENESS = 5.0  # as the program sets it


def run(cluster: Cluster, folder: Path, seconds: float, seed: int) -> list[str]:
    """
    Cause faults for some seconds, and print what happened; return what is wrong.

    Args:
        cluster: whose machines get faults.
        folder: an empty folder, for what the program writes.
        seconds: how long faults happen.
        seed: chooses them, and the work of the program.
    """
    swarm = Swarm(cluster.leader.url, cluster.registry.address, cluster.image, cluster.nodes)
    marks = folder / "marks"
    marks.mkdir()
    folder.chmod(0o755)
    marks.chmod(0o777)
    _build(swarm)
    faults: list[Fault] = []
    with small_disks(cluster.nodes[1:]):
        problems = _work(cluster, swarm, folder, (seconds, seed), faults)
    events = _read(folder)
    problems += check(events, faults, marks)
    problems += [f"left on the Swarm: {one}" for one in left(swarm, None, 60.0)]
    problems += _left_processes(cluster)
    (folder / "faults").write_text("".join(f"{json.dumps(fault)}\n" for fault in faults))
    print(_summary(events, faults, marks, seconds, seed), flush=True)
    return problems


def _work(cluster: Cluster, swarm: Swarm, folder: Path, plan: tuple[float, int], faults: list[Fault]) -> list[str]:
    """Run the program, and cause faults meanwhile; return what is wrong with its end."""
    seconds, seed = plan
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, str(_HERE / "program.py"), str(folder), str(seed), str(seconds)],
            env=_environment(swarm), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
        try:
            until(lambda: process.poll() is not None or _has_begun(folder), _BEGINNING, "the program does not begin")
            if process.poll() is None:
                _make_faults(cluster, process, faults, seconds, seed)
            code = process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGUSR1)  # it writes where its tasks are
            time.sleep(2)
            return [f"the program has not ended {_ENDING:g} s after its time; see its output"]
        finally:
            process.kill()
            process.wait()
    if code:
        return [f"the program has ended with exit code {code}: {(folder / 'output').read_text()[-3000:]}"]
    return []


def _read(folder: Path) -> list[list[Any]]:
    history = folder / "history"
    lines = history.read_text().splitlines() if history.exists() else []
    return [json.loads(line) for line in lines]


def _has_begun(folder: Path) -> bool:
    return any(kind == "begin" for _, kind, _, _ in _read(folder))


def _build(swarm: Swarm) -> None:
    """Build the images of the program's modules."""
    command = [sys.executable, "-m", "aioparcs", "build", "work", "ring", "--modules", str(_HERE / "modules"), "--push"]
    subprocess.run(command, env=_environment(swarm), check=True, stdout=subprocess.DEVNULL, timeout=300)


def _environment(swarm: Swarm) -> dict[str, str]:
    return {**os.environ, **swarm.environment, "PARCS_MODULES": str(_HERE / "modules"), "PARCS_HISTORY": "off"}


def _make_faults(
    cluster: Cluster, process: subprocess.Popen[bytes], faults: list[Fault], seconds: float, seed: int
) -> None:
    """Cause faults of processes, and beside them faults of machines, until the time is over, or the program."""
    begun = time.time()

    def note(fault: Fault) -> None:
        faults.append(fault)
        print(
            f"{fault.begun - begun:7.1f} to {fault.ended - begun:5.1f} s  {fault.kind} {fault.node} {fault.what}",
            flush=True,
        )

    stop = threading.Event()

    def is_over() -> bool:
        return stop.is_set() or process.poll() is not None or time.time() - begun >= seconds

    chances = Random(f"{seed} processes"), Random(f"{seed} machines")
    processes = ProcessFaults(cluster, chances[0], process.pid, _LIVENESS).kinds
    machines = MachineFaults(cluster, chances[1], _LIVENESS).kinds
    with ThreadPoolExecutor() as threads:
        making = [
            threads.submit(Schedule(chances[0], processes, note).run, 2.0, is_over),
            threads.submit(Schedule(chances[1], machines, note).run, 6.0, is_over),
        ]
        try:
            for one in as_completed(making):
                one.result()
        finally:
            stop.set()


def _left_processes(cluster: Cluster) -> Iterator[str]:
    for node in cluster.nodes:
        for process in launchers(node.namespace):
            yield f"left on {node.name}: {process}"


def _summary(events: list[list[Any]], faults: list[Fault], marks: Path, seconds: float, seed: int) -> str:
    """Return the counts of a run."""
    kinds = Counter(kind for _, kind, _, _ in events)
    items = items_of(events)
    again = Counter(items[int(path.name)].retries for path in marks.iterdir() if path.stat().st_size > 1)
    errors = Counter(
        (item.retries, value[0], value[3])
        for item in items.values()
        for _, kind, value in item.outcomes
        if kind == "fail"
    )
    memory = [f"{value[0] / 1e6:.1f} MB" for _, kind, _, value in events if kind == "memory"]
    lines = [
        f"{seconds / 60:g} minutes, seed {seed}, {len(faults)} faults:",
        *(f"  {count} {kind}" for kind, count in sorted(Counter(fault.kind for fault in faults).items())),
        f"{kinds['job']} jobs, {len(items)} items: {kinds['ok']} done, {kinds['fail']} failed:",
        *(f"  {count} {kind}, {retries} retries: {why}" for (retries, kind, why), count in sorted(errors.items())),
        f"begun twice or more: {again[0]} without retries, {again.total() - again[0]} with them",
        f"{kinds['ring']} rings of 200 messages; {kinds['end']} pools, rings and jobs ended by faults",
        f"memory of the runner before and after: {' and '.join(memory)}",
    ]
    return "\n".join(lines)
