"""The survey: all hosts are logged in to, and looked at, at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple, TypeVar

from aioparcs.provision.plans.checks import Problem
from aioparcs.provision.plans.facts import DockerFacts, HostFacts, read_docker, read_facts
from aioparcs.provision.plans.hosts import Host
from aioparcs.provision.plans.nodes import LABEL
from aioparcs.provision.ssh import HostError, Remote, log_in

__all__ = ["Survey", "gather", "open_survey"]

T = TypeVar("T")


class Survey(NamedTuple):
    """
    The hosts as they are.

    Attributes:
        remotes: those that are logged in to, by name.
        facts: what is known of them, in the order in which the user has named them.
        problems: those that can't be logged in to, or looked at.
    """

    remotes: Mapping[str, Remote]
    facts: Sequence[HostFacts]
    problems: Sequence[Problem]


@asynccontextmanager
async def open_survey(hosts: Iterable[Host], accept: Callable[[str, str], None] | None = None) -> AsyncIterator[Survey]:
    """
    Log in to hosts and look at them, all at once; log out when the block is left. Nothing is changed there.

    Args:
        hosts: the hosts.
        accept: called with a host's name and the fingerprint of its new key, once that is recorded; None refuses it.
    """
    hosts = list(hosts)
    async with AsyncExitStack() as stack:
        results = await gather(_enter(stack, host, accept) for host in hosts)
        found = [result for result in results if not isinstance(result, HostError)]
        lost = [result for result in results if isinstance(result, HostError)]
        remotes = {remote.host.name: remote for remote, _ in found}
        problems = [Problem(error.url, error.reason, error.advice) for error in lost]
        yield Survey(remotes, [facts for _, facts in found], problems)


async def gather(doing: Iterable[Coroutine[Any, Any, T]]) -> list[T | HostError]:
    """Wait for all, also when some fail, and return the results, or the errors of those that have failed."""

    async def one(task: Coroutine[Any, Any, T]) -> T | HostError:
        try:
            return await task
        except HostError as error:
            return error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(task)) for task in doing]
    return [task.result() for task in tasks]


async def _enter(
    stack: AsyncExitStack, host: Host, accept: Callable[[str, str], None] | None
) -> tuple[Remote, HostFacts]:
    remote = await stack.enter_async_context(log_in(host, accept_new=accept is not None))
    if accept and remote.accepted:
        accept(host.name, remote.accepted)
    found = await remote.program("facts")
    skew = found["time"] - time.time()  # what the answer took on its way is far below what matters
    docker = None if found["sudo"] or "dockerd" not in found["commands"] else await _docker(remote)
    facts = read_facts(host.name, remote.user, remote.url, found, skew, docker)
    return remote, facts._replace(role=host.role, labels=host.labels)


async def _docker(remote: Remote) -> DockerFacts | None:
    info, nodes = await remote.docker(("GET", "/info", None), ("GET", "/nodes", None))
    if info.status != 200:
        return None
    return read_docker(info.body, nodes.body if nodes.status == 200 else [], LABEL)
