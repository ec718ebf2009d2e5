"""The faults of machines: their networks, disks and Docker daemons. Each is undone before the next."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from random import Random

import psutil

from tests.chaos.packets import disturbed
from tests.chaos.processes import launchers
from tests.cluster import Cluster, ClusterError, Node
from tests.cluster.command import execute

__all__ = ["MachineFaults", "small_disks"]

_DISK = "32m"
_SPELL = 8.0  # seconds that a machine is out of order


class MachineFaults:
    """
    Breaks nodes, and restores them.

    Args:
        cluster: the nodes; the first is the manager.
        random: chooses them.
        liveness: the setting of the runner.
        has_disks: whether disks of nodes may be filled, see `small_disks`.
    """

    def __init__(self, cluster: Cluster, random: Random, liveness: float) -> None:
        self._random = random
        self._manager, *self._others = cluster.nodes
        self._nodes = cluster.nodes
        self._long = 2 * liveness
        self.kinds: dict[str, Callable[[], tuple[str, str]]] = {
            "cut node": self._cut,
            "drain node": self._drain,
            "kill dockerd": lambda: self._kill_docker(self._random.choice(self._others)),
            "stop dockerd": self._stop_docker,
            "restart manager": lambda: self._kill_docker(self._manager),
            "slow manager": self._slow_manager,
            "bad network": self._disturb,
            "full disk": self._fill_disk,
        }

    def _cut(self) -> tuple[str, str]:
        node, seconds = self._random.choice(self._nodes), self._random.choice((1.0, self._long))
        try:
            node.cut()
            time.sleep(seconds)
        finally:
            node.restore()
        return node.name, f"for {seconds:g} s"

    def _drain(self) -> tuple[str, str]:
        node = self._random.choice(self._others)
        update = ("node", "update", "--availability")
        try:
            self._manager.docker(*update, "drain", node.name)
            time.sleep(_SPELL)
        finally:
            self._manager.docker(*update, "active", node.name)
        return node.name, ""

    def _kill_docker(self, node: Node) -> tuple[str, str]:
        seconds = self._random.random() * _SPELL
        try:
            node.kill()
            time.sleep(seconds)
        finally:
            node.revive()
        return node.name, f"for {seconds:.1f} s"

    def _stop_docker(self) -> tuple[str, str]:
        node, seconds = self._random.choice(self._nodes), self._random.choice((1.0, self._long))
        try:
            node.signal(signal.SIGSTOP)
            time.sleep(seconds)
        finally:
            node.signal(signal.SIGCONT)
        node.wait_ready()
        return node.name, f"for {seconds:g} s"

    def _slow_manager(self) -> tuple[str, str]:
        """Stop the manager's Docker for four fifths of the time."""
        end = time.monotonic() + _SPELL
        while time.monotonic() < end:
            try:
                self._manager.signal(signal.SIGSTOP)
                time.sleep(0.4)
            finally:
                self._manager.signal(signal.SIGCONT)
            time.sleep(0.1)
        return self._manager.name, ""

    def _disturb(self) -> tuple[str, str]:
        node = self._random.choice(self._others)
        with disturbed(node.name, self._random):
            time.sleep(_SPELL)
        node.wait_ready()
        return node.name, ""

    def _fill_disk(self) -> tuple[str, str]:
        """Fill the disk that a node's Docker has containers on, and end one, whose place no other can take there."""
        node = self._random.choice(self._others)
        filler = node.containers / "filler"
        try:
            with contextlib.suppress(ClusterError):  # no space left
                execute(*node.command, "sh", "-c", f"cat /dev/zero > {filler}")
            with contextlib.suppress(psutil.Error, StopIteration):
                next(launchers(node.namespace)).kill()
            time.sleep(_SPELL)
        finally:
            execute(*node.command, "rm", "-f", filler)
        return node.name, ""


@contextlib.contextmanager
def small_disks(nodes: tuple[Node, ...]) -> Iterator[None]:
    """Mount small disks, which faults may fill, where nodes keep their containers: they have none now."""
    with contextlib.ExitStack() as stack:
        for node in nodes:
            stack.callback(node.revive)
            node.kill()
            execute(*node.command, "mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", node.containers)
            stack.callback(_unmount, node)
            stack.callback(node.kill)
            node.revive()
        yield


def _unmount(node: Node) -> None:
    execute(*node.command, "umount", "--lazy", node.containers)
