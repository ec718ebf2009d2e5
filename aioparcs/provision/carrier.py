"""The way in which steps are carried out: stage after stage, hosts at once, each its own steps in order."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from aioparcs.errors import ClusterError, ParcsError
from aioparcs.provision.ssh import HostError, Remote
from aioparcs.provision.survey import gather

__all__ = ["Carrier", "certificate_path", "query", "update_node"]

S = TypeVar("S")


class Carrier(ABC, Generic[S]):
    """
    Carries steps out.

    Args:
        remotes: the hosts, by name.
        report: is called with each step when it is done.

    Attributes:
        remotes: the hosts, by name.
    """

    def __init__(self, remotes: Mapping[str, Remote], report: Callable[[S], None]) -> None:
        self.remotes = remotes
        self._report = report

    async def carry_out(self, stages: Sequence[Sequence[S]]) -> list[HostError]:
        """
        Carry steps out, stage after stage, until hosts fail; the others of that stage end what they have begun.

        Returns:
            the errors of the hosts that have failed. What is done stays done.
        """
        for stage in stages:
            hosts = dict.fromkeys(_host(step) for step in stage)
            chains = [[step for step in stage if _host(step) == host] for host in hosts]
            failed = [result for result in await gather(map(self._chain, chains)) if isinstance(result, HostError)]
            if failed:
                return failed
        return []

    async def _chain(self, chain: Sequence[S]) -> None:
        for step in chain:
            try:
                await self.do(step)
            except HostError:
                raise
            except ParcsError as error:  # of what speaks to the leader's Docker
                reason = error.reason if isinstance(error, ClusterError) else str(error)
                raise HostError(_host(step), reason, getattr(error, "advice", "")) from error
            self._report(step)

    @abstractmethod
    async def do(self, step: S) -> None:
        """
        Do a step.

        Raises:
            ParcsError: it has failed.
        """


def certificate_path(folder: str, registry: str) -> str:
    """Return where Docker looks for the certificate of a registry."""
    return f"{folder}/{registry}/ca.crt"


def query(path: str, **filters: Sequence[str]) -> str:
    """Return the path of a request of Docker's API with filters."""
    return f"{path}?filters={quote(json.dumps(filters))}"


async def update_node(manager: Remote, node: str, changes: Mapping[str, Any]) -> None:
    """
    Change a node's specification; its labels are added to those that it has.

    Raises:
        HostError: Docker refuses.
    """
    (answer,) = await manager.docker(("GET", f"/nodes/{node}", None))
    if answer.status != 200:
        raise HostError(manager.host.name, f"the node {node} can't be looked at: {answer.body['message']}")
    spec = answer.body["Spec"]
    labels = {**(spec.get("Labels") or {}), **changes.get("Labels", {})}
    version = answer.body["Version"]["Index"]
    fresh = {**spec, **changes, "Labels": labels}
    await manager.change("POST", f"/nodes/{node}/update?version={version}", fresh, "docker node update")


def _host(step: Any) -> str:
    return str(step.host)
