"""The faults of processes: those of workers and their launchers, and the runner."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import psutil

from tests.cluster import Cluster, namespaces

__all__ = ["ProcessFaults", "launchers"]


class ProcessFaults:
    """
    Kills and stops processes.

    Args:
        cluster: where workers and launchers are.
        random: chooses them.
        runner: the process of the runner.
        liveness: the setting of the runner.
    """

    def __init__(self, cluster: Cluster, random: Random, runner: int, liveness: float) -> None:
        self._cluster = cluster
        self._random = random
        self._runner = psutil.Process(runner)
        self._long = 2 * liveness
        self.kinds: dict[str, Callable[[], tuple[str, str] | None]] = {
            "kill worker": lambda: self._signal("worker", signal.SIGKILL),
            "terminate worker": lambda: self._signal("worker", signal.SIGTERM),
            "stop worker": lambda: self._stop("worker"),
            "kill agent": lambda: self._signal("agent", signal.SIGKILL),
            "stop agent": lambda: self._stop("agent"),
            "kill fork server": lambda: self._signal("fork server", signal.SIGKILL),
            "stop fork server": lambda: self._stop("fork server"),
            "stop runner": self._stop_runner,
        }

    def _choose(self, role: str) -> tuple[str, psutil.Process] | None:
        found = []
        for node in self._cluster.nodes:
            for server in launchers(node.namespace):
                with contextlib.suppress(psutil.Error):
                    children = sorted(server.children(), key=lambda child: child.pid)
                    of_role = {"fork server": [server], "agent": children[:1], "worker": children[1:]}[role]
                    found += [(node.name, process) for process in of_role]
        return self._random.choice(found) if found else None

    def _signal(self, role: str, number: int) -> tuple[str, str] | None:
        if not (chosen := self._choose(role)):
            return None
        node, process = chosen
        process.send_signal(number)
        return node, str(process.pid)

    def _stop(self, role: str) -> tuple[str, str] | None:
        if not (chosen := self._choose(role)):
            return None
        (node, process), seconds = chosen, self._random.choice((0.3, 2.0, self._long))
        _stop(process, seconds)
        return node, f"{process.pid} for {seconds:g} s"

    def _stop_runner(self) -> tuple[str, str]:
        seconds = self._random.choice((0.5, self._long))
        _stop(self._runner, seconds)
        return "", f"for {seconds:g} s"


def launchers(namespace: str) -> Iterator[psutil.Process]:
    """Yield the fork servers in the containers of a node; each of them is the first process of its container."""
    first = namespaces.first_process(namespace)
    for process in first.children(recursive=True) if first else ():
        with contextlib.suppress(psutil.Error, OSError):  # it has ended
            if _is_launcher(process.pid):
                yield process


def _is_launcher(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    numbers = status.split("NSpid:")[1].split("\n")[0].split()  # one for each PID namespace, this machine's first
    is_first = len(numbers) == 3 and numbers[-1] == "1"
    return is_first and b"PARCS_TOKEN_FILE=" in Path(f"/proc/{pid}/environ").read_bytes()


def _stop(process: psutil.Process, seconds: float) -> None:
    process.suspend()
    try:
        time.sleep(seconds)
    finally:
        with contextlib.suppress(psutil.Error):
            process.resume()
