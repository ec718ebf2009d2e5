"""Runners of the test cluster that are killed at random moments, and what the next command sweeps."""

import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random

from tests.exits.processes import PROGRAM
from tests.support.command import COMMAND, ENVIRONMENT, execute
from tests.support.jobs import MODULES
from tests.support.live import Cluster

__all__ = ["MODULE", "Moments", "build"]

MODULE = "functions"
_AT_ONCE = 8
_LONGEST = 120.0  # seconds of a program that is left alone, on a busy machine
_SETTLED = 60.0  # seconds until the containers of killed runners have ended
_LABEL = "label=io.aioparcs.job"
_STAGES = ("before its job", "starting", "connected", "worked", "mapped", "ending")


def build(cluster: Cluster) -> None:
    """Build the image of the workers."""
    done = execute([*COMMAND, "build", MODULE, "--modules", str(MODULES), "--push"], None, **cluster.environment)
    assert done.returncode == 0, done.stderr


class Moments:
    """
    Some moments at which runners are killed.

    Args:
        cluster: where they run.
        seed: makes the moments.

    Attributes:
        stages: how far the runners were.
        found: what they had left on the Swarm, by kind, when the next command came.
        sweeps: how many commands there were.
    """

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.stages: Counter[str] = Counter()
        self.found: Counter[str] = Counter()
        self.sweeps = 0
        self._cluster = cluster
        self._random = Random(seed)
        self._others = self._shared()

    def kill(self, count: int) -> list[str]:
        """Kill so many runners; return what is wrong, and what is left."""
        longest = self._measure(min(_AT_ONCE, count))
        problems: list[str] = []
        while count > 0 and not problems:
            moments = [self._random.random() * longest for _ in range(min(_AT_ONCE, count))]
            count -= len(moments)
            with ThreadPoolExecutor() as threads:
                stages = list(threads.map(self._kill_after, moments))
            self.stages.update(stages)
            problems = self._sweep()
            print(f"{sum(self.stages.values())} killed, {', '.join(stages)}: {'; '.join(problems)}", file=sys.stderr)
        return problems

    def _measure(self, count: int) -> float:
        """Return how many seconds a program takes that isn't killed, beside others."""
        begun = time.monotonic()
        with ThreadPoolExecutor() as threads:
            for stage in threads.map(self._kill_after, [_LONGEST] * count):
                assert stage == "ended", stage
        return time.monotonic() - begun

    def _kill_after(self, seconds: float) -> str:
        """Run a program, and kill it after so many seconds; return how far it was."""
        environment = ENVIRONMENT | self._cluster.environment | {"PARCS_ENGINE": "swarm", "PARCS_HISTORY": "off"}
        with subprocess.Popen(
            [sys.executable, str(PROGRAM), MODULE], env=environment | {"PARCS_MODULES": str(MODULES)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
            output, errors = process.communicate()
        if process.returncode == 0:
            return "ended"
        assert process.returncode == -9, f"it has ended with exit code {process.returncode}: {output} {errors}"
        return _STAGES[len(output.splitlines())]

    def _sweep(self) -> list[str]:
        """Run the command that sweeps when the containers have ended; return what is left on any node."""
        end = time.monotonic() + _SETTLED
        while (running := self._running()) and time.monotonic() < end:
            time.sleep(0.2)
        if running:
            return [f"containers run on without their runner: {running}"]
        self.found.update(one.split()[0] for one in self._records())
        done = execute([*COMMAND, "rm", "--orphans"], None, **self._cluster.environment)
        self.sweeps += 1
        problems = [] if done.returncode == 0 else [f"aioparcs rm: {done.stdout} {done.stderr}"]
        while (left := [*self._records(), *self._containers()]) and time.monotonic() < end:
            time.sleep(0.2)  # nodes remove containers in due time
        problems += [f"left: {one}" for one in left]
        if (others := self._shared()) != self._others:
            problems.append(f"networks and volumes: {sorted(others ^ self._others)}")
        return problems

    def _nodes(self) -> range:
        return range(len(self._cluster.nodes))

    def _running(self) -> list[str]:
        words = ("ps", "--quiet", "--filter", _LABEL)
        return [one for node in self._nodes() for one in self._cluster.docker(*words, node=node).split()]

    def _containers(self) -> list[str]:
        words = ("ps", "--all", "--quiet", "--filter", _LABEL)
        return [f"container {one}" for node in self._nodes() for one in self._cluster.docker(*words, node=node).split()]

    def _records(self) -> list[str]:
        """Name the services and secrets of all jobs."""
        return [
            f"{kind} {name}"
            for kind in ("service", "secret")
            for name in self._cluster.docker(kind, "ls", "--quiet", "--filter", _LABEL).split()
        ]

    def _shared(self) -> set[str]:
        """Return the networks of the Swarm, and the volumes of all nodes."""
        networks = re.findall(r"\S+", self._cluster.docker("network", "ls", "--filter", "scope=swarm", "--quiet"))
        volumes = [self._cluster.docker("volume", "ls", "--quiet", node=node).split() for node in self._nodes()]
        return {*networks, *(f"{node} {one}" for node, found in enumerate(volumes) for one in found)}
