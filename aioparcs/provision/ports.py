"""Tries of the ports that the hosts need of each other: all of them listen and dial at once."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import asyncssh

from aioparcs.provision.plans.checks import Problem
from aioparcs.provision.plans.facts import PortFailure
from aioparcs.provision.plans.plan import Dial
from aioparcs.provision.ssh import HostError, Remote

__all__ = ["try_ports"]

_PATIENCE = 40.0  # seconds for each line that a host prints

Process = asyncssh.SSHClientProcess[str]


async def try_ports(
    remotes: Mapping[str, Remote], dials: Sequence[Dial], nodes: Sequence[str]
) -> tuple[list[PortFailure], list[Problem]]:
    """
    Try ports of hosts from other hosts.

    A datagram counts as arrived also if its answer is lost. Those to a port that Docker has in use can't be tried.

    Args:
        remotes: the hosts.
        dials: what is tried.
        nodes: the hosts whose Docker is in a Swarm, and so has its ports in use.

    Returns:
        the ports that can't be reached, and those that are in use by another program.

    Raises:
        HostError: a host is lost meanwhile.
    """
    meeting = asyncio.Barrier(len(remotes))
    taken: dict[str, set[tuple[str, int]]] = {}
    failed: dict[str, str] = {}
    came: set[str] = set()
    keys = {dial: f"{secrets.token_hex(8)} {dial.source} {dial.target} {dial.protocol} {dial.port}" for dial in dials}

    async def one(remote: Remote) -> None:
        name = remote.host.name
        ports = {(dial.protocol, dial.port) for dial in dials if dial.target == name}
        async with remote.talk("ports") as process:
            taken[name] = {tuple(port) for port in await _ask(process, sorted(ports), name)}
            await meeting.wait()  # all listen
            own = [dial for dial in dials if dial.source == name and not _is_hidden(dial, taken)]
            failed.update(await _ask(process, [_target(dial, keys[dial]) for dial in own], name))
            await meeting.wait()  # all have dialled
            process.stdin.write_eof()
            came.update(await _answer(process, name))

    try:
        async with asyncio.TaskGroup() as group:
            for remote in remotes.values():
                group.create_task(one(remote))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None  # the first has ended the others
    failures = [
        PortFailure(dial.source, dial.target, dial.address, f"{dial.port}/{dial.protocol}", failed[key])
        for dial, key in keys.items()
        if key in failed and key not in came and not (_used(dial, taken) and dial.target not in nodes)
    ]
    return failures, _in_use({name: found for name, found in taken.items() if name not in nodes})


def _target(dial: Dial, key: str) -> tuple[str, str, str, int]:
    return key, dial.protocol, str(dial.address), dial.port


def _used(dial: Dial, taken: Mapping[str, set[tuple[str, int]]]) -> bool:
    return (dial.protocol, dial.port) in taken[dial.target]


def _is_hidden(dial: Dial, taken: Mapping[str, set[tuple[str, int]]]) -> bool:
    """Return whether nothing can be learned: Docker, which has the port, answers connections and no datagrams."""
    return dial.protocol == "udp" and _used(dial, taken)


def _in_use(taken: Mapping[str, set[tuple[str, int]]]) -> list[Problem]:
    return [
        Problem(name, f"{port}/{protocol} is in use by another program", f"find and stop it: ss -lnp sport = :{port}")
        for name, ports in taken.items()
        for protocol, port in sorted(ports)
    ]


async def _ask(process: Process, line: Any, name: str) -> Any:
    process.stdin.write(json.dumps(line) + "\n")
    return await _answer(process, name)


async def _answer(process: Process, name: str) -> Any:
    async with asyncio.timeout(_PATIENCE):
        line = await process.stdout.readline()
    if not line:
        raise HostError(name, f"ports.py has failed: {(await process.stderr.read()).strip()[-500:]}")
    return json.loads(line)
