"""Frames over one connection: its two halves, its liveness and its end."""

from aioparcs.channel.connection.connection import FrameConnection
from aioparcs.channel.connection.inbox import Inbox
from aioparcs.channel.connection.memory import LARGE, RECEIVING
from aioparcs.channel.connection.outbox import Outbox
from aioparcs.channel.connection.sender import FrameSender
from aioparcs.channel.connection.state import ConnectionState
from aioparcs.channel.connection.waiter import InlineFuture

__all__ = ["LARGE", "RECEIVING", "ConnectionState", "FrameConnection", "FrameSender", "Inbox", "InlineFuture", "Outbox"]
