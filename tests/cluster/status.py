"""The cluster's present state, as JSON."""

from typing import Any

from tests.cluster import network
from tests.cluster.cluster import Cluster
from tests.cluster.command import ClusterError
from tests.cluster.node import Node

__all__ = ["describe"]


def describe(cluster: Cluster | None) -> dict[str, Any]:
    """Describe the cluster and its nodes, as `status --json` prints it."""
    if cluster is None:
        return {"up": False, "nodes": []}
    return {
        "up": True,
        "leader_url": cluster.leader.url,
        "registry": cluster.registry.address,
        "image": cluster.image,
        "machine": cluster.machine,
        "nodes": [_describe(node) for node in cluster.nodes],
    }


def _describe(node: Node) -> dict[str, str]:
    try:
        swarm = node.state()
    except ClusterError:
        swarm = "unknown"
    return {
        "name": node.name,
        "address": node.address,
        "url": node.url,
        "socket": str(node.socket),
        "dockerd": _dockerd(node),
        "swarm": swarm,
    }


def _dockerd(node: Node) -> str:
    """Return a dockerd's state: cut (off the network), up, stuck (it runs and does not answer) or killed."""
    if not node.runs():
        return "killed"
    if network.is_cut(node.name):
        return "cut"
    return "up" if node.answers() else "stuck"
