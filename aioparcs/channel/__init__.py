"""The two-way ordered message stream between two programs, and the handshake that opens it."""

from aioparcs.channel.channel import Call, Channel, Statistics
from aioparcs.channel.handshake import accept, accept_v1, introduce, introduce_v1
from aioparcs.channel.link import Link, error_of

__all__ = ["Call", "Channel", "Link", "Statistics", "accept", "accept_v1", "error_of", "introduce", "introduce_v1"]
