"""The swarm of the nodes, and the overlay network that workers share."""

from concurrent.futures import ThreadPoolExecutor

from tests.cluster.command import ClusterError, until
from tests.cluster.network import OVERLAY
from tests.cluster.node import Node

__all__ = ["NETWORK", "join", "provide_overlay"]

NETWORK = "parcs"
"""The name of the overlay, as in the original."""

_JOIN = 60.0  # seconds that joining may take on a busy machine


def join(nodes: list[Node]) -> None:
    """Join the nodes to a swarm, where they have not yet: the first is its manager, the others are its workers."""
    leader, *others = nodes
    if _membership(leader) == "inactive":
        leader.docker("swarm", "init", "--advertise-addr", leader.address)
    _wait_member(leader)
    token = leader.docker("swarm", "join-token", "--quiet", "worker").strip()
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda node: _join(node, leader, token), others))


def provide_overlay(leader: Node) -> None:
    """Create the overlay network, if it is not there."""
    if NETWORK not in leader.docker("network", "ls", "--format", "{{.Name}}").split():
        leader.docker("network", "create", "--driver", "overlay", "--attachable", "--subnet", OVERLAY, NETWORK)


def _join(node: Node, leader: Node, token: str) -> None:
    if _membership(node) == "inactive":
        node.docker("swarm", "join", "--token", token, f"{leader.address}:2377")
    _wait_member(node)
    until(lambda: node.state() == "ready", _JOIN, f"the swarm does not get {node.name}")


def _wait_member(node: Node) -> None:
    until(lambda: _membership(node) == "active", _JOIN, f"{node.name} is {_membership(node)} in the swarm")


def _membership(node: Node) -> str:
    """Return the node's state in the swarm: inactive, pending, active or error."""
    state = node.docker("info", "--format", "{{.Swarm.LocalNodeState}}").strip()
    if state in ("error", "locked"):
        raise ClusterError(f"{node.name} has lost its swarm; take the cluster down and up again")
    return state
