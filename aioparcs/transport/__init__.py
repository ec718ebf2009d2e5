"""
Connections: dial and listen over TCP and Unix sockets, with or without TLS.

`OSError` and `ssl.SSLError` stop here; what is above sees this package's errors. A listener with TLS has a
certificate of its own, made for it and pinned by its fingerprint in its address: there is no authority to ask.
"""

from aioparcs.transport.dialling import FIRST_PAUSE, LONGEST_PAUSE, dial, dial_now
from aioparcs.transport.files import file_limit, os_reason, raise_file_limit
from aioparcs.transport.listener import Listener, listen
from aioparcs.transport.pending import PendingHandshakes
from aioparcs.transport.sockets import (
    bind,
    bound_address,
    is_of_another_user,
    keep_alive,
    source_address,
    streams_of,
    wait_silent,
)
from aioparcs.transport.unix_paths import short_path

__all__ = [
    "FIRST_PAUSE",
    "LONGEST_PAUSE",
    "Listener",
    "PendingHandshakes",
    "bind",
    "bound_address",
    "dial",
    "dial_now",
    "file_limit",
    "is_of_another_user",
    "keep_alive",
    "listen",
    "os_reason",
    "raise_file_limit",
    "short_path",
    "source_address",
    "streams_of",
    "wait_silent",
]
