"""The handshake that opens a connection, at the listener's side and at the dialler's."""

from aioparcs.channel.handshake.acceptor import Acceptor
from aioparcs.channel.handshake.dialling import Connection, reach, reach_now
from aioparcs.channel.handshake.exchange import accept, accept_v1, introduce, introduce_now, introduce_v1

__all__ = [
    "Acceptor",
    "Connection",
    "accept",
    "accept_v1",
    "introduce",
    "introduce_now",
    "introduce_v1",
    "reach",
    "reach_now",
]
