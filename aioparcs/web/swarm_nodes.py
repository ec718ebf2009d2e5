"""The nodes of a Swarm, and the tasks of aioparcs' jobs on them; nothing of their environment."""

from __future__ import annotations

from typing import Any

from aioparcs.swarm.docker.client import SwarmClient, open_swarm
from aioparcs.swarm.docker.records import SwarmTask
from aioparcs.swarm.jobs.view import job_of

__all__ = ["described_nodes"]


async def described_nodes() -> list[dict[str, Any]]:
    """
    Return the nodes of the Swarm whose leader the environment names.

    Raises:
        ClusterError: it can't be reached, or is not a manager of a Swarm.
    """
    async with open_swarm() as swarm:
        return await _described(swarm)


async def _described(swarm: SwarmClient) -> list[dict[str, Any]]:
    tasks = await swarm.tasks()
    services = {service["ID"]: service["Spec"]["Name"] for service in await swarm.services()}
    return [_node(dict(node), tasks, services) for node in await swarm.nodes()]


def _node(node: dict[str, Any], tasks: list[SwarmTask], services: dict[str, str]) -> dict[str, Any]:
    spec, about = node["Spec"], node.get("Description", {})  # a node that has not reported yet has none
    resources = about.get("Resources", {})
    return {
        "name": about.get("Hostname", ""),
        "role": spec.get("Role", ""),
        "state": node.get("Status", {}).get("State", ""),
        "availability": spec.get("Availability", ""),
        "cores": resources.get("NanoCPUs", 0) / 1e9,
        "memory": resources.get("MemoryBytes", 0),
        "docker": about.get("Engine", {}).get("EngineVersion", ""),
        "tasks": [
            {"job": job_of(task), "service": services.get(task["ServiceID"], ""), "state": task["Status"]["State"]}
            for task in tasks
            if task.get("NodeID") == node["ID"] and task["DesiredState"] == "running"
        ],
    }
