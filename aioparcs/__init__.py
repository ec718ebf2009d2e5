"""
Parallel computing over point-to-point channels, async first.

Names are loaded when they are first used: a worker that imports `Service` never loads what a runner needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aioparcs.settings import VERSION as __version__

if TYPE_CHECKING:
    from aioparcs.address import Address
    from aioparcs.channel import Channel
    from aioparcs.codec import register
    from aioparcs.collectives import barrier, broadcast, gather, reduce, scatter
    from aioparcs.credentials import secret
    from aioparcs.errors import (
        BrokenPool,
        BuildError,
        BusyError,
        CallCancelled,
        CallTimeout,
        ChannelClosed,
        ClusterError,
        ConnectionLost,
        DecodeError,
        EncodeError,
        EndOfChannel,
        HandshakeError,
        JournalError,
        ParcsError,
        ProtocolError,
        RemoteError,
        SettingError,
        StartError,
        WorkerLost,
    )
    from aioparcs.executor import Executor
    from aioparcs.pool import Pool, Retry
    from aioparcs.program import run
    from aioparcs.runner import Runner
    from aioparcs.service import Service, worker_rng
    from aioparcs.service.serve import serve
    from aioparcs.settings import Settings
    from aioparcs.shared.arrays import shared_array
    from aioparcs.task import Stream, Task

_MODULES = {
    "Address": "aioparcs.address",
    "Channel": "aioparcs.channel",
    "register": "aioparcs.codec",
    "barrier": "aioparcs.collectives",
    "broadcast": "aioparcs.collectives",
    "gather": "aioparcs.collectives",
    "reduce": "aioparcs.collectives",
    "scatter": "aioparcs.collectives",
    "secret": "aioparcs.credentials",
    "BrokenPool": "aioparcs.errors",
    "BuildError": "aioparcs.errors",
    "BusyError": "aioparcs.errors",
    "CallCancelled": "aioparcs.errors",
    "CallTimeout": "aioparcs.errors",
    "ChannelClosed": "aioparcs.errors",
    "ClusterError": "aioparcs.errors",
    "ConnectionLost": "aioparcs.errors",
    "DecodeError": "aioparcs.errors",
    "EncodeError": "aioparcs.errors",
    "EndOfChannel": "aioparcs.errors",
    "HandshakeError": "aioparcs.errors",
    "JournalError": "aioparcs.errors",
    "ParcsError": "aioparcs.errors",
    "ProtocolError": "aioparcs.errors",
    "RemoteError": "aioparcs.errors",
    "SettingError": "aioparcs.errors",
    "StartError": "aioparcs.errors",
    "WorkerLost": "aioparcs.errors",
    "Executor": "aioparcs.executor",
    "Pool": "aioparcs.pool",
    "Retry": "aioparcs.pool",
    "Runner": "aioparcs.runner",
    "run": "aioparcs.program",
    "Service": "aioparcs.service",
    "serve": "aioparcs.service",
    "worker_rng": "aioparcs.service",
    "Settings": "aioparcs.settings",
    "shared_array": "aioparcs.shared.arrays",
    "Stream": "aioparcs.task",
    "Task": "aioparcs.task",
}

__all__ = [
    "Address",
    "BrokenPool",
    "BuildError",
    "BusyError",
    "CallCancelled",
    "CallTimeout",
    "Channel",
    "ChannelClosed",
    "ClusterError",
    "ConnectionLost",
    "DecodeError",
    "EncodeError",
    "EndOfChannel",
    "Executor",
    "HandshakeError",
    "JournalError",
    "ParcsError",
    "Pool",
    "ProtocolError",
    "RemoteError",
    "Retry",
    "Runner",
    "Service",
    "SettingError",
    "Settings",
    "StartError",
    "Stream",
    "Task",
    "WorkerLost",
    "__version__",
    "barrier",
    "broadcast",
    "gather",
    "reduce",
    "register",
    "run",
    "scatter",
    "secret",
    "serve",
    "shared_array",
    "worker_rng",
]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
