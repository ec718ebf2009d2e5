"""The Swarm that tests run on, and questions to it."""

import asyncio
import os
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from aioparcs.swarm.docker.client import SwarmClient, open_swarm
from aioparcs.swarm.docker.labels import JOB
from tests.cluster import Node

__all__ = ["NAMED", "Cluster", "ask", "hide_swarm", "left", "remains"]

T = TypeVar("T")

PATIENCE = 90.0  # seconds for one question or one command, on two busy cores
NAMED: dict[str, str] = {}
"""The Swarm that the environment named, as its variables."""


def hide_swarm() -> None:
    """Move the environment's Swarm to ``NAMED``: programs that tests start would believe that they are meant."""
    for name in list(os.environ):
        if (name.startswith("PARCS_") and name != "PARCS_CLUSTER_DIR") or name in ("LEADER_URL", "DOCKER_HOST"):
            NAMED[name] = os.environ.pop(name)


class Cluster(NamedTuple):
    """
    A Swarm to test with.

    Attributes:
        leader_url: its leader, for ``LEADER_URL``.
        registry: the registry that all its nodes pull from, for ``PARCS_REGISTRY``.
        base: the image that modules are built from.
        nodes: its nodes, for tests that cut and kill them; none if it is not the test cluster.
    """

    leader_url: str
    registry: str
    base: str
    nodes: tuple[Node, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        return {"LEADER_URL": self.leader_url, "PARCS_REGISTRY": self.registry, "PARCS_BASE_IMAGE": self.base}

    @property
    def size(self) -> int:
        """Return how many nodes it has, also of a cluster that is not the test cluster."""
        return len(self.docker("node", "ls", "--quiet").split())

    def docker(self, *arguments: str, node: int | None = None) -> str:
        """Run Docker's client, against the leader or the node of a number; give its output."""
        url = self.leader_url if node is None else self.nodes[node].url
        command = ["docker", "-H", url, *arguments]
        try:
            return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout
        except subprocess.CalledProcessError as error:
            error.add_note(error.stderr)
            raise

    def run_on_overlay(self, *arguments: str, node: int | None = None) -> str:
        """Run a container on the overlay network to its end; give what it printed."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return self.docker("run", "--rm", "--network", "parcs", *arguments, node=node)
            except subprocess.CalledProcessError as error:
                # A node leaves the network with its last container, and refuses a new one in that moment.
                if error.returncode != 125 or time.monotonic() > end:
                    raise


def ask(cluster: Cluster, question: Callable[[SwarmClient], Awaitable[T]]) -> T:
    """Ask the leader something."""

    async def _ask() -> T:
        async with asyncio.timeout(PATIENCE), open_swarm(cluster.leader_url) as swarm:
            return await question(swarm)

    return asyncio.run(_ask())


def remains(cluster: Cluster, job: str | None) -> list[str]:
    """Name what the Swarm has of a job, or of any."""

    async def found(swarm: SwarmClient) -> list[str]:
        records = [*await swarm.services(job), *await swarm.secrets(job)]
        return [record["Spec"]["Name"] for record in records] + [task["ID"] for task in await swarm.tasks(job)]

    return ask(cluster, found)


def left(cluster: Cluster, job: str | None, seconds: float = 20.0) -> list[str]:
    """Name what the Swarm and its nodes have of a job, or of any, after some seconds: nodes take time to remove it."""
    pattern = ("ps", "--all", "--quiet", "--filter", f"label={JOB}={job}" if job else f"label={JOB}")
    end = time.monotonic() + seconds
    while True:
        nodes = range(len(cluster.nodes))
        found = remains(cluster, job) + [line for node in nodes for line in cluster.docker(*pattern, node=node).split()]
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.2)  # each look starts a client for each node
