"""
Start services one after another as the original PARCS does: ``RUNNER SERVICE COUNT``, two images.

The runner is a container beside the leader, on the overlay network: benchmarks/modules/original. Prints what it
measured; ends when the tasks of its services are gone.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import uvloop

from aioparcs.swarm.docker.client import SwarmClient, open_swarm, wait_until
from aioparcs.swarm.docker.labels import job_labels
from aioparcs.swarm.engine.advertise import original_leader
from aioparcs.swarm.engine.placement import network_name
from benchmarks.peers import control

_JOB = f"benchmark-{time.time_ns():x}"
_PATIENCE, _REMOVAL = 300.0, 120.0  # seconds


async def _measure(runner: str, service: str, count: int) -> None:
    async with open_swarm() as swarm:
        address = (await swarm.info())["Swarm"]["NodeAddr"]
        leader = original_leader(swarm.leader, address)
        try:
            print(json.dumps([float(await _run(swarm, _config(runner, service, count, leader)))]), flush=True)
        finally:
            await asyncio.gather(*(swarm.remove_service(made["ID"]) for made in await swarm.services(_JOB)))
        control.expect(await wait_until(lambda: _is_gone(swarm), _REMOVAL), "its containers do not end")


def _config(runner: str, service: str, count: int, leader: str) -> dict[str, Any]:
    variables = {
        "LEADER_URL": leader,
        "IMAGE": service,
        "COUNT": count,
        "NETWORK": network_name(),
        "LABELS": json.dumps(job_labels(_JOB)),
    }
    return {
        "Image": runner,
        "Env": [f"{name}={value}" for name, value in variables.items()],
        "HostConfig": {"NetworkMode": network_name()},
    }


async def _run(swarm: SwarmClient, config: dict[str, Any]) -> str:
    """Run a container on the leader until it ends, and return what it printed."""
    container = await swarm.docker.containers.run(config)
    try:
        end = await container.wait(timeout=_PATIENCE)
        lines = "".join(await container.log(stdout=True, stderr=True))
        control.expect(end["StatusCode"] == 0, f"the original's runner failed: {lines}")
        return lines
    finally:
        await container.delete(force=True)


async def _is_gone(swarm: SwarmClient) -> bool:
    return not await swarm.tasks(_JOB)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _loop:
        _loop.run(_measure(sys.argv[1], sys.argv[2], int(sys.argv[3])))
