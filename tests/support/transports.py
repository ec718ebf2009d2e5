"""Runners whose workers connect over each kind of transport."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from aioparcs import Address, Runner
from tests.support.engines import command_runner
from tests.support.jobs import job

__all__ = ["LOOPBACK", "enter", "kinds", "over_tcp"]

LOOPBACK = Address("tcp", "127.0.0.1", 0)

kinds = pytest.mark.parametrize("kind", ["unix", "tcp", "tls", "tcp-tls"])


def enter(kind: str, **settings: Any) -> AbstractAsyncContextManager[Runner]:
    """Enter a runner of the local engine, one over TCP, or either with TLS."""
    if kind in ("unix", "tls"):
        return job(tls=kind == "tls", **settings)
    return over_tcp(tls=kind == "tcp-tls", **settings)


@asynccontextmanager
async def over_tcp(*, tls: bool, **settings: Any) -> AsyncIterator[Runner]:
    """Enter a runner whose engine uses TCP on this machine, with or without TLS."""
    async with command_runner(address=LOOPBACK, tls=tls, **settings) as (runner, _):
        yield runner
