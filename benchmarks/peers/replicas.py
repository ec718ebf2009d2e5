"""
Start a Swarm service of many replicas until Docker says that all of them run: ``IMAGE COUNT``.

The service is what one would write by hand: the image with its own program, which waits for a runner of the original
PARCS, on the same overlay network, without virtual IP and without restarts. The leader is asked for its tasks as
often as aioparcs asks. Prints two values in seconds: until an answer said that all run, and until they did by the
times that Docker has written down. It ends when the service's tasks are gone.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import datetime

import uvloop

from aioparcs.swarm.docker.client import SwarmClient, open_swarm, wait_until
from aioparcs.swarm.docker.labels import job_labels
from aioparcs.swarm.docker.records import Record, SwarmTask
from aioparcs.swarm.engine.monitor import FIRST_PAUSE, next_delay
from aioparcs.swarm.engine.placement import network_name
from benchmarks.peers import control

_JOB = f"benchmark-{time.time_ns():x}"
_REMOVAL = 120.0  # seconds


async def _measure(image: str, count: int) -> None:
    start, clock = time.perf_counter(), time.time()
    async with open_swarm() as swarm:
        network = await swarm.networks.find(network_name())
        control.expect(network is not None, f"there is no network {network_name()!r}")
        assert network
        service = await swarm.create_service(_spec(image, count, network["Id"], swarm.leader.url), {})
        try:
            tasks = await _until_running(swarm, count)
            seconds = time.perf_counter() - start
            control.expect(len({_container(task) for task in tasks}) == count, "two tasks are one container")
            print(json.dumps([seconds, max(map(_since, tasks)) - clock]), flush=True)
        finally:
            await swarm.remove_service(service)
        control.expect(await wait_until(lambda: _is_gone(swarm), _REMOVAL), "its containers do not end")


def _spec(image: str, count: int, network: str, leader: str) -> Record:
    return {
        "Name": _JOB,
        "Labels": job_labels(_JOB),
        "Mode": {"Replicated": {"Replicas": count}},
        "EndpointSpec": {"Mode": "dnsrr"},
        "TaskTemplate": {
            "ContainerSpec": {"Image": image, "Env": [f"LEADER_URL={leader}"], "Labels": job_labels(_JOB)},
            "Networks": [{"Target": network}],
            "RestartPolicy": {"Condition": "none"},
        },
    }


async def _until_running(swarm: SwarmClient, count: int) -> list[SwarmTask]:
    pause = FIRST_PAUSE
    while True:
        tasks = await swarm.tasks(_JOB)
        states = [task["Status"]["State"] for task in tasks]
        control.expect(not {"complete", "failed", "rejected"} & set(states), "a container ended")
        if states.count("running") == count:
            return tasks
        await asyncio.sleep(pause)
        pause = next_delay(pause)


async def _is_gone(swarm: SwarmClient) -> bool:
    return not await swarm.tasks(_JOB)


def _container(task: SwarmTask) -> str:
    status = task["Status"]["ContainerStatus"]
    return status["ContainerID"] if status else ""


def _since(task: SwarmTask) -> float:
    """Return when its node saw that it runs, in seconds since 1970."""
    return datetime.fromisoformat(f"{task['Status']['Timestamp'][:26].rstrip('Z')}+00:00").timestamp()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _loop:
        _loop.run(_measure(sys.argv[1], int(sys.argv[2])))
