"""The faults on a real cluster: each happens, and is undone."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import psutil

from tests.cluster import Cluster, ClusterError, Node, namespaces, network
from tests.cluster.command import execute

__all__ = ["Faults"]

_LIVENESS = 5.0


class Faults:
    """
    Causes faults of one kind, one after the other.

    Args:
        cluster: what they happen to.
        random: chooses them.
        runner: the process of the runner.
        note: called with each fault.
        of_machines: whether they are those of machines, which take a while to be undone, or those of processes.
    """

    def __init__(
        self,
        cluster: Cluster,
        random: Random,
        runner: int,
        note: Callable[[str, str], object],
        *,
        of_machines: bool,
    ) -> None:
        self._cluster = cluster
        self._random = random
        self._runner = psutil.Process(runner)
        self._note = note
        self._undoing: list[Callable[[], object]] = []
        processes = {
            "kill worker": lambda: self._signal("worker", signal.SIGKILL),
            "terminate worker": lambda: self._signal("worker", signal.SIGTERM),
            "stop worker": lambda: self._stop("worker"),
            "kill agent": lambda: self._signal("agent", signal.SIGKILL),
            "stop agent": lambda: self._stop("agent"),
            "kill fork server": lambda: self._signal("fork server", signal.SIGKILL),
            "stop fork server": lambda: self._stop("fork server"),
            "stop runner": self._stop_runner,
        }
        machines = {
            "cut node": self._cut,
            "drain node": self._drain,
            "kill dockerd": lambda: self._kill_docker(self._random.choice(cluster.nodes[1:])),
            "restart manager": lambda: self._kill_docker(cluster.nodes[0]),
            "slow network": self._slow,
        }
        self._kinds: dict[str, Callable[[], str | None]] = machines if of_machines else processes

    def happen(self) -> None:
        """Cause one fault; what is stopped or cut off is undone before this returns."""
        kind = self._random.choice(sorted(self._kinds))
        try:
            what = self._kinds[kind]()
        except (psutil.Error, OSError):  # it has ended meanwhile
            return
        if what is not None:
            self._note(kind, what)

    def undo(self) -> None:
        """Undo what is left of all faults."""
        while self._undoing:
            self._undoing.pop()()

    # Processes

    def _processes(self, role: str) -> list[psutil.Process]:
        """Find the processes of a role in all containers of workers."""
        found = []
        for node in self._cluster.nodes:
            for process in namespaces.processes(node.namespace):
                with contextlib.suppress(psutil.Error, OSError):
                    found += _of_role(process, role)
        return found

    def _signal(self, role: str, number: int) -> str | None:
        if not (processes := self._processes(role)):
            return None
        process = self._random.choice(processes)
        process.send_signal(number)
        return f"{role} {process.pid}"

    def _stop(self, role: str) -> str | None:
        if not (processes := self._processes(role)):
            return None
        process, seconds = self._random.choice(processes), self._random.choice((0.3, 2.0, 2 * _LIVENESS))
        process.suspend()
        try:
            time.sleep(seconds)
        finally:
            with contextlib.suppress(psutil.Error):
                process.resume()
        return f"{role} {process.pid} for {seconds} s"

    def _stop_runner(self) -> str:
        seconds = self._random.choice((0.5, 2 * _LIVENESS))
        self._runner.suspend()
        try:
            time.sleep(seconds)
        finally:
            self._runner.resume()
        return f"for {seconds} s"

    # Machines

    def _cut(self) -> str:
        node, seconds = self._random.choice(self._cluster.nodes[1:]), self._random.choice((1.0, 2 * _LIVENESS))
        with self._undone(node.restore):
            node.cut()
            time.sleep(seconds)
        return f"{node.name} for {seconds} s"

    def _drain(self) -> str:
        node, leader = self._random.choice(self._cluster.nodes[1:]), self._cluster.leader
        update = ("node", "update", "--availability")
        with self._undone(lambda: leader.docker(*update, "active", node.name)):
            leader.docker(*update, "drain", node.name)
            time.sleep(5.0)
        return node.name

    def _kill_docker(self, node: Node) -> str:
        with self._undone(node.revive):
            node.kill()
            time.sleep(self._random.random() * 5)
        return node.name

    def _slow(self) -> str | None:
        """Delay, drop, repeat and reorder packets, if this machine's kernel can."""
        node = self._random.choice(self._cluster.nodes[1:])
        tc, device = ("tc", "-n", network.SWITCH, "qdisc"), ("dev", node.name, "root")
        netem = ("netem", "delay", "20ms", "10ms", "loss", "5%", "duplicate", "2%", "reorder", "10%")
        try:
            execute(*tc, "replace", *device, *netem)
        except ClusterError:
            return None
        with self._undone(lambda: execute(*tc, "del", *device)):
            time.sleep(5.0)
        return node.name

    @contextlib.contextmanager
    def _undone(self, undo: Callable[[], object]) -> Iterator[None]:
        """Undo a fault at the end of the block, or at the end of all if that fails."""
        self._undoing.append(undo)
        yield
        self._undoing.pop()()


def _of_role(process: psutil.Process, role: str) -> list[psutil.Process]:
    """Return the processes of a role in a container, if this is its first one."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    is_first = status.split("NSpid:")[1].split("\n")[0].split()[-1] == "1"
    if not is_first or b"PARCS_TOKEN_FILE=" not in Path(f"/proc/{process.pid}/environ").read_bytes():
        return []
    if role == "fork server":
        return [process]
    children = sorted(process.children(), key=lambda child: child.pid)
    return children[:1] if role == "agent" else children[1:]
