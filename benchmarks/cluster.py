"""The Swarm that is measured: found or brought up, with the images on every node, and empty before each round."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import NamedTuple

import aiodocker

from aioparcs.build import build
from aioparcs.errors import ParcsError
from aioparcs.swarm import open_docker
from aioparcs.swarm.docker.client import SwarmClient, open_swarm, wait_until
from aioparcs.swarm.docker.labels import JOB
from aioparcs.swarm.docker.records import Record
from aioparcs.swarm.engine.placement import network_name
from benchmarks.harness import ROOT, ProgramFailed
from tests.cluster import Cluster, ClusterError, down, obstacle, up

__all__ = ["Images", "NoSwarm", "build_images", "ensure_swarm", "keep_images", "wait_empty"]

_MODULES = ROOT / "benchmarks" / "modules"
_EMPTY = 120.0  # seconds that the containers of a round get to be gone
_HOLDER = "aioparcs-benchmark"  # how the services are named that keep the overlay network on the nodes
_PULL = 300.0  # seconds for all nodes to have the image, and a container of it


class NoSwarm(ProgramFailed):
    """There is no Swarm to measure, and none can be brought up."""


class Images(NamedTuple):
    """
    An image, under two names.

    Attributes:
        tagged: with a tag, which has to be looked up.
        exact: with its digest.
    """

    tagged: str
    exact: str


@contextmanager
def ensure_swarm() -> Iterator[None]:
    """
    Set LEADER_URL and PARCS_REGISTRY, unless they name a Swarm: to the test cluster, which is brought up if need be.

    Raises:
        NoSwarm: there is none and can't be.
    """
    if "LEADER_URL" in os.environ and "PARCS_REGISTRY" in os.environ:
        yield
        return
    if reason := obstacle():
        raise NoSwarm(f"no Swarm to measure: {reason}; or name one in LEADER_URL and PARCS_REGISTRY")
    was_there = Cluster.here() is not None
    try:
        cluster = up(3, lambda step: None)
        os.environ.update(LEADER_URL=cluster.leader.url, PARCS_REGISTRY=cluster.registry.address)
        yield
    except ClusterError as error:
        raise NoSwarm(f"no Swarm to measure: {error}") from None
    finally:
        if not was_there:
            down()


def build_images(*modules: str) -> list[Images]:
    """
    Build and push images of the benchmarks' modules.

    Raises:
        ProgramFailed: one can't be built.
    """

    async def build_all() -> list[Images]:
        async with open_docker() as docker:
            built = [await build(docker, _MODULES / module, push=True) for module in modules]
        return [Images(image.reference, str(image.digest)) for image in built]

    try:
        return asyncio.run(build_all())
    except ParcsError as error:
        raise ProgramFailed(str(error)) from None


@contextmanager
def keep_images(*images: str) -> Iterator[None]:
    """
    Keep one idle container of each image on each node, on the overlay network.

    So all nodes have the images, and the network: Docker takes it away from a node with the last container, and a
    start that comes while it does so may wait for 30 seconds.

    Raises:
        ProgramFailed: one can't be started everywhere.
    """
    holders = {f"{_HOLDER}-{number}": image for number, image in enumerate(images)}

    async def start() -> None:
        async with open_swarm() as swarm:
            for name, image in holders.items():
                await swarm.remove_service(name)  # of a run that was killed
                await swarm.create_service(_holder(name, image), {})
                if not await wait_until(partial(_is_everywhere, swarm, name), _PULL):
                    raise ProgramFailed(f"some node can't run {image}: docker service ps {name}")

    async def remove() -> None:
        async with open_swarm() as swarm:
            for name in holders:
                await swarm.remove_service(name)

    try:
        try:
            asyncio.run(start())
            yield
        finally:
            asyncio.run(remove())
    except ParcsError as error:
        raise ProgramFailed(str(error)) from None


def _holder(name: str, image: str) -> Record:
    container = {"Image": image, "Command": ["sleep", "infinity"], "Init": True}
    return {
        "Name": name,
        "Mode": {"Global": {}},
        "EndpointSpec": {"Mode": "dnsrr"},
        "TaskTemplate": {"ContainerSpec": container, "Networks": [{"Target": network_name()}]},
    }


async def _is_everywhere(swarm: SwarmClient, name: str) -> bool:
    tasks = await swarm.docker.tasks.list(filters={"service": [name]})
    return len(tasks) > 0 and all(task["Status"]["State"] == "running" for task in tasks)


def wait_empty() -> None:
    """
    Wait until no job has a task on the Swarm, and, where all nodes can be asked, until no container of one is left.

    Raises:
        ProgramFailed: that takes too long.
    """

    async def wait() -> bool:
        async with AsyncExitStack() as stack:
            swarm = await stack.enter_async_context(open_swarm())
            nodes = [await stack.enter_async_context(open_docker(url)) for url in _nodes()]

            async def empty() -> bool:
                return not await swarm.tasks() and not any([await _containers(node) for node in nodes])

            return await wait_until(empty, _EMPTY)

    try:
        if asyncio.run(wait()):
            return
    except ParcsError as error:
        raise ProgramFailed(str(error)) from None
    raise ProgramFailed("a job is still on the Swarm; a measurement beside it says nothing: aioparcs ps")


def _nodes() -> list[str]:
    """Name the nodes that can be asked: those of the test cluster, else the leader alone."""
    cluster = Cluster.here()
    if cluster and cluster.leader.url == os.environ["LEADER_URL"]:
        return [node.url for node in cluster.nodes]
    return [os.environ["LEADER_URL"]]


async def _containers(node: aiodocker.Docker) -> bool:
    return bool(await node.containers.list(all=True, filters={"label": [JOB]}))
