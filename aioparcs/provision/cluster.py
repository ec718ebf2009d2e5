"""A cluster that is up, as its leader describes it: its nodes, its registry and its jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

from aioparcs.provision import registry
from aioparcs.provision.here import context_of
from aioparcs.provision.plans.nodes import Node, read_nodes
from aioparcs.provision.plans.removal import Removal, RemovalStep, plan_down, plan_remove
from aioparcs.provision.remove import Remover
from aioparcs.provision.ssh import HostError, log_in
from aioparcs.swarm.docker.client import open_swarm
from aioparcs.swarm.engine.placement import network_name
from aioparcs.swarm.jobs.jobs import find_jobs

__all__ = ["ClusterState", "carry_out_removal", "end_plan", "read_cluster", "removal_plan"]


class ClusterState(NamedTuple):
    """
    A cluster.

    Attributes:
        leader: the address of its leader's Docker.
        nodes: its nodes.
        network: the name of the network of the jobs, "" if there is none.
        registry: the address of the registry that aioparcs has made, "" if none.
        registry_node: the ID of the node that has its images.
        jobs: the names of the jobs on it.
    """

    leader: str
    nodes: Sequence[Node]
    network: str
    registry: str
    registry_node: str
    jobs: Sequence[str]


async def read_cluster() -> ClusterState:
    """
    Return the cluster that the environment names.

    Raises:
        ClusterError: its leader can't be reached, or refuses.
        SettingError: the environment makes no sense.
    """
    async with open_swarm() as swarm:
        nodes, network, jobs, services = await asyncio.gather(
            swarm.nodes(),
            swarm.networks.find(network_name()),
            find_jobs(swarm),
            swarm.docker.services.list(filters={"label": [registry.LABEL]}),
        )
        made: dict[str, Any] = services[0]["Spec"] if services else {}
        constraints = made["TaskTemplate"]["Placement"]["Constraints"] if made else [""]
        return ClusterState(
            leader=swarm.leader.shown,
            nodes=read_nodes(nodes),
            network=network["Name"] if network else "",
            registry=made["Labels"][registry.LABEL] if made else "",
            registry_node=constraints[0].removeprefix("node.id=="),
            jobs=[job.name for job in jobs],
        )


def removal_plan(cluster: ClusterState, target: Node) -> Removal:
    """Return the plan to take a node out of a cluster."""
    return plan_remove(cluster.nodes, target, cluster.registry, cluster.registry_node)


def end_plan(cluster: ClusterState) -> Removal:
    """Return the plan to end a cluster, and to forget it here."""
    context = context_of({node.url for node in cluster.nodes if node.url})
    return plan_down(cluster.nodes, cluster.jobs, cluster.registry, cluster.registry_node, context)


async def carry_out_removal(
    plan: Removal, report: Callable[[RemovalStep], None], keys: Mapping[str, str] = MappingProxyType({})
) -> list[HostError]:
    """
    Log in to the hosts of a plan, carry it out, and return the errors of the hosts that have failed.

    Args:
        plan: the plan.
        report: called after each step.
        keys: the files of private keys that ssh does not know, by host.
    """
    async with _remotes(plan.hosts, keys) as (remotes, failed):
        return failed or await Remover(remotes, report).carry_out(plan.stages)


@asynccontextmanager
async def _remotes(
    nodes: Sequence[Node], keys: Mapping[str, str]
) -> AsyncIterator[tuple[dict[str, Any], list[HostError]]]:
    async with AsyncExitStack() as stack:
        remotes, failed = {}, []
        for node in nodes:
            assert node.host, "a plan names only hosts that can be logged in to"
            try:
                host = node.host._replace(key=keys.get(node.host.name, ""))
                remotes[node.name] = await stack.enter_async_context(log_in(host))
            except HostError as error:
                failed.append(error)
        yield remotes, failed
