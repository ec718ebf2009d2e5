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
from aioparcs.settings import Settings

__version__ = "0.1.0"

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
    "SettingError",
    "Settings",
    "StartError",
    "WorkerLost",
    "register",
]
