"""Parallel computing over point-to-point channels, async first."""

from aioparcs.address import Address
from aioparcs.channel import Channel
from aioparcs.codec import register
from aioparcs.errors import (
    BusyError,
    ChannelClosed,
    ConnectionLost,
    DecodeError,
    EncodeError,
    EndOfChannel,
    HandshakeError,
    ParcsError,
    ProtocolError,
    RemoteError,
    SettingError,
    StartError,
    WorkerLost,
)
from aioparcs.runner import Runner, run
from aioparcs.service import Service, serve
from aioparcs.settings import VERSION as __version__
from aioparcs.settings import Settings
from aioparcs.task import Task

__all__ = [
    "Address",
    "BusyError",
    "Channel",
    "ChannelClosed",
    "ConnectionLost",
    "DecodeError",
    "EncodeError",
    "EndOfChannel",
    "HandshakeError",
    "ParcsError",
    "ProtocolError",
    "RemoteError",
    "Runner",
    "Service",
    "SettingError",
    "Settings",
    "StartError",
    "Task",
    "WorkerLost",
    "__version__",
    "register",
    "run",
    "serve",
]
