"""The states of a connection."""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["ConnectionState"]


class ConnectionState(Enum):
    """
    Where a connection stands, from its beginning to its end; none of these is ever left for an earlier one.

    Attributes:
        OPEN: both sides may send.
        PEER_ENDED: nothing more will come, this side may still send.
        SENDING_ENDED: this side has ended sending, the peer may still send.
        ENDED: both sides have ended sending.
        CLOSING: this side is closing the connection.
        CLOSED: the connection is gone.
    """

    OPEN = auto()
    PEER_ENDED = auto()
    SENDING_ENDED = auto()
    ENDED = auto()
    CLOSING = auto()
    CLOSED = auto()

    @property
    def is_closing(self) -> bool:
        """True once this side is closing the connection, or it is gone."""
        return self in (ConnectionState.CLOSING, ConnectionState.CLOSED)

    def after_peer_ended(self) -> ConnectionState:
        """Return the state once the peer has ended sending."""
        return _PEER_ENDED.get(self, self)

    def after_sending_ended(self) -> ConnectionState:
        """Return the state once this side has ended sending."""
        return _SENDING_ENDED.get(self, self)


_PEER_ENDED = {
    ConnectionState.OPEN: ConnectionState.PEER_ENDED,
    ConnectionState.SENDING_ENDED: ConnectionState.ENDED,
}
_SENDING_ENDED = {
    ConnectionState.OPEN: ConnectionState.SENDING_ENDED,
    ConnectionState.PEER_ENDED: ConnectionState.ENDED,
}
