"""The probe of the doctor: a container on every node for some seconds, which connects to some addresses."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from typing import NamedTuple

from aioparcs.swarm.docker.client import SwarmClient, wait_until
from aioparcs.swarm.docker.credentials import pull_auth_header
from aioparcs.swarm.docker.labels import Role, runner_identity, service_labels, stack
from aioparcs.swarm.docker.records import ServiceSpec, SwarmNetwork, SwarmTask
from aioparcs.swarm.docker.service import build_container, build_service
from aioparcs.swarm.docker.task_state import is_over, launcher_state, node_names, takes_tasks
from aioparcs.swarm.jobs.jobs import remove_job

__all__ = ["Finding", "probe"]

# Seconds until every node should have answered: a node pulls the image first.
_DEADLINE = 60.0
_STOP_GRACE = 1.0  # it has nothing to clean up
_UNREACHABLE = 64  # an exit code from here on is the probe's own: one bit for each target that it can't reach

# Runs in the base image. Its exit code, part of the task's state, has the answer; its lines have the reasons.
_PROGRAM = f"""
import socket, sys
code = 0
for bit, target in enumerate(sys.argv[1:]):
    host, _, port = target.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), 5).close()
    except OSError as error:
        print(f"{{target}}: {{error}}")
        code |= 1 << bit
sys.exit(code and {_UNREACHABLE} + code)
"""


class Finding(NamedTuple):
    """
    The result of one node's probe.

    Attributes:
        node: the node's name.
        problem: why its container did not run to its end, "" if it did.
        unreachable: the targets that its container could not reach, and why.
    """

    node: str
    problem: str
    unreachable: Mapping[str, str]


async def probe(
    swarm: SwarmClient, image: str, targets: tuple[str, ...], network: SwarmNetwork | None
) -> list[Finding]:
    """
    Run a container on every node that takes work, which connects to some addresses.

    Its Swarm service is removed whatever happens, also when this is cancelled; if even that fails, the next command
    sweeps it.

    Args:
        swarm: the leader.
        image: the base image.
        targets: ``HOST:PORT`` each.
        network: the overlay network that they are to be on, or None.

    Raises:
        ClusterError: the leader can't be asked, or refuses.
    """
    nodes = node_names(node for node in await swarm.nodes() if takes_tasks(node))
    job = f"doctor-{secrets.token_hex(4)}"
    tasks: dict[str, SwarmTask] = {}
    try:
        headers = await asyncio.to_thread(pull_auth_header, image)
        await swarm.create_service(_spec(job, image, targets, network), headers)

        async def have_ended() -> bool:
            tasks.update({task["NodeID"]: task for task in await swarm.tasks(job) if task.get("NodeID")})
            return all(node in tasks and is_over(tasks[node]) for node in nodes)

        await wait_until(have_ended, _DEADLINE)
        found = [_finding(swarm, tasks.get(node), name, targets, nodes) for node, name in nodes.items()]
        return sorted(await asyncio.gather(*found))
    finally:
        await remove_job(swarm, job)


def _spec(job: str, image: str, targets: tuple[str, ...], network: SwarmNetwork | None) -> ServiceSpec:
    return build_service(
        f"{stack(job)}_probe",
        service_labels(job, Role.PROBE, "doctor", time.time() + _DEADLINE, runner_identity()),
        build_container(image, stop_grace=_STOP_GRACE, command=("python", "-c", _PROGRAM, *targets)),
        [network["Id"]] if network else [],
        replicas=None,
        log_driver=None,
    )


async def _finding(swarm: SwarmClient, task: SwarmTask | None, node: str, targets: tuple[str, ...],
                   nodes: Mapping[str, str]) -> Finding:  # fmt: skip
    if task is None:
        return Finding(node, f"Docker has created no task for it within {_DEADLINE:g} s", {})
    state = launcher_state(0, task, nodes)
    if state.exitcode == 0:
        return Finding(node, "", {})
    code = state.exitcode or 0
    if not _UNREACHABLE < code < _UNREACHABLE + 2 ** len(targets):
        late = "" if is_over(task) else f" ({_DEADLINE:g} s)"
        return Finding(node, f"{state.reason or 'its container has not ended'}{late}", {})
    lines = [line.text for line in await swarm.container_lines(task["ID"])]
    reasons = {
        target: line.partition(f"{target}: ")[2] for line in lines for target in targets if line.startswith(target)
    }
    unreachable = [target for bit, target in enumerate(targets) if (code - _UNREACHABLE) >> bit & 1]
    return Finding(node, "", {target: reasons.get(target, "no answer") for target in unreachable})
