"""The cluster: this machine, and the nodes of the Swarm whose leader the environment names, with what runs on them."""

from __future__ import annotations

import asyncio
import os
import platform
from typing import Any

from aiohttp import web

from aioparcs.errors import ParcsError
from aioparcs.settings import VERSION

__all__ = ["Cluster"]

_TIMEOUT = 2.0  # seconds that a leader may take
_PERIOD = 2.0  # seconds for which an answer is good enough for the next page


class Cluster:
    """The answers about the cluster."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._known: dict[str, Any] = {}
        self._time = -_PERIOD

    async def answer(self, _: web.Request) -> web.Response:
        """Answer with all nodes, or why they are not known."""
        return web.json_response(await self.known())

    async def known(self) -> dict[str, Any]:
        """Return that answer, which may be some seconds old."""
        async with self._lock:
            if asyncio.get_running_loop().time() >= self._time + _PERIOD:
                self._known = {**await _swarm(), "local": _local()}
                self._time = asyncio.get_running_loop().time()
            return self._known


def _local() -> dict[str, Any]:
    return {
        "name": platform.node(),
        "cores": os.cpu_count() or 1,
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        "aioparcs": VERSION,
    }


async def _swarm() -> dict[str, Any]:
    from aioparcs.web.swarm_nodes import described_nodes  # Docker's libraries: only when a page shows the cluster

    try:
        async with asyncio.timeout(_TIMEOUT):
            return {"available": True, "reason": "", "nodes": await described_nodes()}
    except TimeoutError:
        reason = f"Docker has not answered within {_TIMEOUT:.0f} s"
    except ParcsError as error:
        reason = str(error)
    return {"available": False, "reason": reason, "nodes": []}
