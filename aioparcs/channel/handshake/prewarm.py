"""A handshake of a process with itself: what it runs once, its forks run faster."""

from __future__ import annotations

import socket

from aioparcs.address import Address
from aioparcs.auth import Hello, Role
from aioparcs.channel.handshake.dialling import renewed
from aioparcs.channel.handshake.exchange import answers_to, introduce_now
from aioparcs.settings import Settings
from aioparcs.transport import bind, bound_address, dial_now

__all__ = ["prewarm_handshake"]


def prewarm_handshake(scheme: str, settings: Settings) -> tuple[socket.socket, socket.socket, Hello]:
    """
    Dial a socket of this process as `reach_now` dials a listener, and shake hands.

    Args:
        scheme: ``tcp`` or ``unix``.
        settings: limits and deadlines.

    Returns:
        The dialler's end of the connection, the listener's, and what the listener has said of itself.

    Raises:
        OSError, ConnectionLost, HandshakeError: this process can't dial itself.
    """
    place = Address(scheme, "@" if scheme == "unix" else "127.0.0.1")
    with bind(place) as listener:
        listener.listen(1)
        place = bound_address(place, listener, "")
        ours = dial_now(place, timeout=settings.connect_timeout)
        theirs, _ = listener.accept()
    hello = renewed(Hello.of(Role.WORKER, "", 0, settings), place)
    peer = Hello.of(Role.RUNNER, "", -1, settings)._replace(memory=hello.memory)
    answers, size = answers_to(hello, peer, b"")
    theirs.sendall(answers)
    greeting = introduce_now(ours, hello, b"", settings.handshake_timeout)
    theirs.recv(size, socket.MSG_WAITALL)
    return ours, theirs, greeting
