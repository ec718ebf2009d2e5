"""The placement of a service on a Swarm: its networks and their free addresses, its containers, its GPUs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from aioparcs.engine import WorkerSpec
from aioparcs.engine.threads import thread_share, thread_variables
from aioparcs.errors import StartError
from aioparcs.swarm.docker.client import SwarmClient
from aioparcs.swarm.docker.records import SwarmNetwork, SwarmNode
from aioparcs.swarm.docker.task_state import takes_tasks
from aioparcs.swarm.engine.advertise import free_addresses
from aioparcs.swarm.engine.service_spec import LAUNCHER_MEMORY

__all__ = [
    "check_free_addresses",
    "find_gpu_kind",
    "find_networks",
    "network_name",
    "with_threads",
    "workers_for_cpus",
    "workers_per_container",
]


def network_name() -> str:
    """Return the name of the jobs' overlay network: ``PARCS_NETWORK``, or ``parcs`` as in the original."""
    return os.environ.get("PARCS_NETWORK") or "parcs"


async def find_networks(
    swarm: SwarmClient, spec: WorkerSpec, overlay: SwarmNetwork | None, *, wanted: bool
) -> tuple[str, ...]:
    """
    Return the IDs of the networks that a service is on: a name may be ambiguous, an ID is not.

    Args:
        swarm: the leader.
        spec: what is started; it may name networks of its own.
        overlay: the network of the jobs, None for none.
        wanted: whether that network must be there.

    Raises:
        StartError: there is no such network.
    """
    found = [overlay["Id"]] if overlay else []
    names = [network_name()] if wanted and not overlay else []
    for name in [*names, *spec.swarm.get("networks", ())]:
        network = await swarm.networks.find(name)
        if network is None:
            make = f"docker network create -d overlay --attachable {name}"
            advice = "aioparcs cluster init" if name == network_name() else make
            raise StartError(spec.module, f"there is no network {name!r} on the Swarm; make it: {advice}")
        found.append(network["Id"])
    return tuple(dict.fromkeys(found))


def workers_per_container(spec: WorkerSpec, count: int, nodes: Iterable[SwarmNode]) -> WorkerSpec:
    """
    Return the specification with a number of workers per container: one container for each node that is ready.

    Limits may ask for more containers: the smallest node must have room for one of them. GPUs are not shared.
    """
    resources = [node["Description"]["Resources"] for node in nodes if takes_tasks(node)]
    sizes = [-(-count // max(len(resources), 1))]
    if spec.cpus is not None:
        sizes += [int(one["NanoCPUs"] / 1e9 / spec.cpus) for one in resources]
    if spec.memory is not None:
        sizes += [int((one["MemoryBytes"] - LAUNCHER_MEMORY) / spec.memory) for one in resources]
    return spec._replace(per_container=1 if spec.gpus else max(min(sizes), 1))


def workers_for_cpus(spec: WorkerSpec, nodes: Iterable[SwarmNode]) -> int:
    """Return how many workers there are CPUs for on the nodes that are ready, at least 1."""
    cpus = [node["Description"]["Resources"]["NanoCPUs"] / 1e9 for node in nodes if takes_tasks(node)]
    return max(1, sum(int(number / (spec.cpus or 1)) for number in cpus))


def with_threads(spec: WorkerSpec, count: int, nodes: Iterable[SwarmNode], variables: Mapping[str, str]) -> WorkerSpec:
    """
    Return the specification with the variables of `thread_variables`.

    Without ``cpus`` a worker's share is that on the smallest node that is ready, if all nodes get equally many workers.

    Args:
        spec: what is started.
        count: how many workers.
        nodes: the nodes of the Swarm.
        variables: what their environment has besides.
    """
    cpus = [node["Description"]["Resources"]["NanoCPUs"] / 1e9 for node in nodes if takes_tasks(node)]
    on_each = -(-max(spec.together, count) // max(len(cpus), 1))
    share = spec.cpus or min(cpus, default=1.0) / on_each
    environ = {**variables, **spec.env}
    return spec._replace(env={**thread_variables(thread_share(share, environ), environ), **spec.env})


async def check_free_addresses(swarm: SwarmClient, spec: WorkerSpec, network: SwarmNetwork, containers: int) -> None:
    """
    Check that a network has enough free addresses: without, Docker would accept the service, and never start it.

    Raises:
        StartError: it has too few.
    """
    tasks, nodes = await swarm.all_tasks(), await swarm.nodes()
    free = free_addresses(network, tasks, len(nodes))
    if containers > free:
        raise StartError(
            spec.module,
            f"the network {network['Name']!r} has too few free addresses for the containers ({free} of "
            f"{containers}); pack more workers into one (per_container=), stop other jobs, or make a larger network",
        )


async def find_gpu_kind(swarm: SwarmClient, spec: WorkerSpec) -> str:
    """
    Return the nodes' name for their GPUs, such as ``NVIDIA-GPU``.

    Raises:
        StartError: no node has any.
    """
    for node in await swarm.nodes():
        for resource in node["Description"]["Resources"].get("GenericResources") or ():
            for described in resource.values():
                if "gpu" in described["Kind"].lower():
                    return str(described["Kind"])
    raise StartError(
        spec.module,
        f"gpus={spec.gpus}: no node of the Swarm offers GPUs; name them in its daemon.json (node-generic-resources)",
    )
