"""The plans that take hosts out of a cluster, and end it. They are pure: no host is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from aioparcs.provision.plans.checks import Problem
from aioparcs.provision.plans.nodes import Node
from aioparcs.provision.plans.steps import HERE

__all__ = [
    "Demote",
    "Drain",
    "Forget",
    "ForgetNode",
    "Leave",
    "Removal",
    "RemovalStep",
    "StopRegistry",
    "plan_down",
    "plan_remove",
]

_READY = "ready"


class Drain(NamedTuple):
    """
    Take all work from a node, and wait until it has ended.

    Attributes:
        host: the host.
        node: its ID.
        via: a manager.
    """

    host: str
    node: str
    via: str

    def __str__(self) -> str:
        return "drain it, and wait until its containers have ended"


class Demote(NamedTuple):
    """
    Make a manager a worker.

    Attributes:
        host: the host.
        node: its ID.
        via: another manager.
    """

    host: str
    node: str
    via: str

    def __str__(self) -> str:
        return "be a manager no longer"


class Leave(NamedTuple):
    """
    Leave the Swarm, and remove what aioparcs has noted on the host.

    Attributes:
        host: the host.
        registry: the cluster's own registry, whose certificate is removed; "" if none.
    """

    host: str
    registry: str

    def __str__(self) -> str:
        return "leave the Swarm; Docker stays installed"


class ForgetNode(NamedTuple):
    """
    Remove a node from the Swarm's list.

    Attributes:
        host: the host.
        node: its ID.
        via: a manager.
    """

    host: str
    node: str
    via: str

    def __str__(self) -> str:
        return "remove it from the list of nodes"


class StopRegistry(NamedTuple):
    """
    Remove the cluster's own registry, with its images and secrets.

    Attributes:
        host: a manager.
        node: the host that has its images.
    """

    host: str
    node: str

    def __str__(self) -> str:
        return "remove the registry with its images"


class Forget(NamedTuple):
    """
    Remove the Docker context and the registry's password from this machine.

    Attributes:
        host: `HERE`.
        context: the context, "" if there is none for the cluster.
        registry: the cluster's own registry, "" if none.
    """

    host: str
    context: str
    registry: str

    def __str__(self) -> str:
        things = [f"the Docker context {self.context}"] * bool(self.context) + [
            f"the password of {self.registry}"
        ] * bool(self.registry)
        return f"remove {' and '.join(things)}"


RemovalStep = Drain | Demote | Leave | ForgetNode | StopRegistry | Forget


class Removal(NamedTuple):
    """
    What is in the way, or else what is to be done.

    Attributes:
        problems: what is wrong; there are no steps if one of them is fatal.
        stages: steps; those of a stage are done at once, except that a host does its own in order.
        hosts: the nodes that have to be logged in to.
    """

    problems: tuple[Problem, ...]
    stages: tuple[tuple[RemovalStep, ...], ...]
    hosts: tuple[Node, ...]


def plan_remove(nodes: Sequence[Node], target: Node, registry: str, registry_node: str) -> Removal:
    """
    Plan to take a node out of a cluster. One that is down is only removed from the list.

    Args:
        nodes: all nodes.
        target: the node.
        registry: the cluster's own registry, "" if none.
        registry_node: the ID of the node that has its images.
    """
    others = [node for node in nodes if node.manager and node.host and node.state == _READY and node is not target]
    managers = [node for node in nodes if node.manager]
    problems = []
    if target.host is None:
        problems.append(Problem(target.name, "aioparcs did not put it into the Swarm", f"docker node rm {target.name}"))
    if target.manager and len(managers) == 1:
        problems.append(Problem(target.name, "is the only manager", "to end the whole cluster: aioparcs cluster down"))
    if target.id == registry_node:
        problems.append(
            Problem(target.name, f"has the images of {registry}", "it can only leave last: aioparcs cluster down")
        )
    if problems or not others:
        lost = Problem(target.name, "no other manager that aioparcs knows is ready", "aioparcs cluster status")
        return Removal(tuple(problems or [lost]), (), ())
    via, is_ready = others[0], target.state == _READY
    steps: list[RemovalStep] = [Drain(target.name, target.id, via.name)] if is_ready else []
    if target.manager:
        steps.append(Demote(target.name, target.id, via.name))
    if is_ready:
        steps.append(Leave(target.name, registry))
    steps.append(ForgetNode(target.name, target.id, via.name))
    found = _left(nodes, target)
    return Removal(found, (tuple(steps),), (via, *([target] if is_ready else [])))


def plan_down(nodes: Sequence[Node], jobs: Sequence[str], registry: str, registry_node: str, context: str) -> Removal:
    """
    Plan the end of a cluster.

    Args:
        nodes: all nodes.
        jobs: the names of the jobs that run on it.
        registry: the cluster's own registry, "" if none.
        registry_node: the ID of the node that has its images.
        context: the Docker context here that names the cluster, "" if none.
    """
    problems = [
        Problem(
            node.name,
            "aioparcs did not put it into the Swarm",
            f"docker node rm --force {node.name}, or keep the Swarm",
        )
        for node in nodes
        if node.host is None
    ]
    if jobs:
        problems.append(Problem("the cluster", f"jobs are on it: {', '.join(jobs)}", f"aioparcs rm {' '.join(jobs)}"))
    ready = [node for node in nodes if node.state == _READY and node.host]
    managers = [node for node in ready if node.manager]
    if problems or not managers:
        return Removal(tuple(problems), (), ())
    lost = [
        Problem(
            node.name,
            f"is {node.state}, and stays in a Swarm that is gone",
            "there: docker swarm leave --force",
            fatal=False,
        )
        for node in nodes
        if node not in ready
    ]
    stages: list[tuple[RemovalStep, ...]] = []
    if registry:
        (owner,) = [node.name for node in nodes if node.id == registry_node] or [managers[0].name]
        stages.append((StopRegistry(managers[0].name, owner),))
    stages.append(tuple(Leave(node.name, registry) for node in ready if not node.manager))
    stages += [(Leave(node.name, registry),) for node in reversed(managers)]
    if context or registry:
        stages.append((Forget(HERE, context, registry),))
    return Removal(tuple(lost), tuple(stage for stage in stages if stage), tuple(ready))


def _left(nodes: Sequence[Node], target: Node) -> tuple[Problem, ...]:
    """Return a warning if the managers that are left can't lose one more than fewer of them could."""
    left = [node for node in nodes if node.manager and node is not target]
    if target.manager and len(left) == 2:
        text = f"{left[0].name} and {left[1].name} are left as managers, and the Swarm survives the death of neither"
        return (Problem(target.name, text, "docker node demote one of them, or add hosts", fatal=False),)
    return ()
