"""The states of launchers and nodes: pure functions of the answers of ``GET /tasks`` and ``GET /nodes``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aioparcs.engine import LauncherState
from aioparcs.errors import signal_name
from aioparcs.swarm.docker.records import SwarmNode, SwarmTask

__all__ = [
    "drained_nodes",
    "has_container",
    "is_over",
    "is_ready",
    "launcher_state",
    "newest",
    "node_names",
    "takes_tasks",
]

# Final states of a task, and desired states that count as final for a task on a node that doesn't answer.
_ENDED = frozenset({"complete", "failed", "shutdown", "rejected", "orphaned", "remove"})
_ENDING_DESIRED = frozenset({"shutdown", "remove"})
# How Docker's message begins for a container that ran and ended; any other is about one that could not be started.
_BY_ITSELF = "task: non-zero exit"
# What a task that isn't running yet waits for.
_WAITS = {
    "new": "Docker has not given it a network address: aioparcs doctor shows whether any is free",
    "pending": "Docker has found no node for it",
    "preparing": "its node is pulling the image",
    "starting": "its container is starting",
}


def newest(tasks: Iterable[SwarmTask]) -> dict[int, SwarmTask]:
    """Return the newest task of each slot; Docker keeps old ones."""
    found: dict[int, SwarmTask] = {}
    for task in sorted(tasks, key=lambda task: task["CreatedAt"]):
        found[task.get("Slot", 1)] = task
    return found


def node_names(nodes: Iterable[SwarmNode]) -> dict[str, str]:
    """Return the nodes' names by their IDs; a node that is just joining has no name yet, and gets its ID."""
    return {node["ID"]: _node_name(node) for node in nodes}


def _node_name(node: SwarmNode) -> str:
    described = node.get("Description")
    return (described and described.get("Hostname")) or node["ID"]


def drained_nodes(nodes: Iterable[SwarmNode]) -> frozenset[str]:
    """Return the IDs of the nodes that the Swarm takes all containers from, and gives none."""
    return frozenset(node["ID"] for node in nodes if node["Spec"].get("Availability") == "drain")


def is_ready(node: SwarmNode) -> bool:
    """Return whether a node's Docker runs, and the managers can reach it."""
    return node["Status"]["State"] == "ready"


def takes_tasks(node: SwarmNode) -> bool:
    """Return whether the Swarm gives a node new tasks: it is ready, and neither drained nor paused."""
    return is_ready(node) and node["Spec"]["Availability"] == "active"


def is_over(task: SwarmTask) -> bool:
    """Return whether a task has ended, or is never going to run."""
    return task["Status"]["State"] in _ENDED or task["DesiredState"] in _ENDING_DESIRED


def has_container(task: SwarmTask) -> bool:
    """Return whether a task has, or had, a container, and so a log."""
    return bool((task["Status"].get("ContainerStatus") or {}).get("ContainerID"))


def launcher_state(
    launcher: int, task: SwarmTask, nodes: Mapping[str, str], drained: frozenset[str] = frozenset()
) -> LauncherState:
    """
    Return the state of a launcher from its task.

    Args:
        launcher: the launcher's slot.
        task: its task.
        nodes: names of nodes by their IDs.
        drained: the IDs of the nodes that are drained.
    """
    status = task["Status"]
    state, message = status["State"], str(status.get("Err") or "")
    node = nodes.get(task.get("NodeID", ""), "")
    if state == "running" and not is_over(task):
        return LauncherState(launcher, "running", node=node)
    if state == "rejected":
        where = f"node {node} " if node else "Docker "
        return LauncherState(
            launcher, "failed", f"{where}refused its container: {message or 'it gave no reason'}", node=node
        )
    if state in _ENDED:
        container = status.get("ContainerStatus") or {}
        if state == "failed" and not message.startswith(_BY_ITSELF):
            where = f"on node {node}: " if node else ""
            return LauncherState(launcher, "failed", f"{where}{message or 'Docker does not say why'}", node=node)
        how, code = _end(container.get("ExitCode"), message)
        if state == "shutdown" and code:  # the Swarm has stopped it, for a reason of its own
            why = "its node is drained" if task.get("NodeID") in drained else "its service was removed or updated"
            how = f"was stopped by the Swarm ({why})"
        return LauncherState(launcher, "gone", how, code, node=node)
    if is_over(task):
        return LauncherState(launcher, "gone", f"was lost (node {node or '?'} does not answer)", node=node)
    return LauncherState(launcher, "placed", message or _WAITS.get(state, f"its container is {state}"), node=node)


def _end(code: int | None, message: str) -> tuple[str, int | None]:
    if code is None or (code < 0):
        return f"ended ({message or 'Docker does not say how'})", None
    if code > 128 and code != 143:  # as a shell says it; 143 is a launcher's own way to end on SIGTERM
        return f"was killed by {signal_name(code - 128)}", 128 - code
    return f"ended with exit code {code}", code
