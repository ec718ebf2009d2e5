"""The hosts as the user names them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from aioparcs.errors import SettingError

__all__ = ["MANAGER", "WORKER", "Host", "add_hosts", "parse_host"]

MANAGER, WORKER = "manager", "worker"
"""The roles that a host can have in its Swarm."""

_FORM = re.compile(r"(?:(?P<user>[^@\s]+)@)?(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?::(?P<port>\d{1,5}))?")


class Host(NamedTuple):
    """
    One machine, and how to log in there.

    Attributes:
        name: its name or address for ssh, and in messages.
        user: who logs in; "" for what ssh's configuration says, or the user here.
        port: sshd's port; 0 for what ssh's configuration says, or 22.
        key: the file of the private key; "" for those that ssh tries by itself.
        address: the address at which the other hosts reach it; "" if it is to be found out.
        role: `MANAGER` or `WORKER`; "" for whichever the cluster needs.
        labels: labels of its node, with their values.
    """

    name: str
    user: str = ""
    port: int = 0
    key: str = ""
    address: str = ""
    role: str = ""
    labels: tuple[tuple[str, str], ...] = ()


def parse_host(text: str, user: str | None = None) -> Host:
    """
    Return the host that ``[USER@]HOST[:PORT]`` names.

    Args:
        text: the words.
        user: who logs in where the words don't say.

    Raises:
        SettingError: it is no name of a host.
    """
    match = _FORM.fullmatch(text)
    if match is None or int(match["port"] or 1) not in range(1, 65536):
        raise SettingError(f"{text!r} does not name a host: [USER@]HOST[:PORT]")
    return Host(match["name"], match["user"] or user or "", int(match["port"] or 0))


def add_hosts(present: Sequence[Host], named: Sequence[Host]) -> list[Host]:
    """Return the hosts of a cluster, then new ones; those named keep user and port unless others are given."""
    given = {host.name: host for host in named}
    own = [(host, given.pop(host.name, host)) for host in present]
    merged = [new._replace(user=new.user or host.user, port=new.port or host.port) for host, new in own]
    return [*merged, *given.values()]
