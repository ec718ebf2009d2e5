"""A process of the fork server: it answers every message with its number and the message."""

from __future__ import annotations

import os
from multiprocessing.connection import Connection
from typing import Any


def echo(pipe: Connection[Any, Any]) -> None:
    """Answer until the other end is closed."""
    try:
        while True:
            pipe.send([os.getpid(), pipe.recv()])
    except EOFError:
        return
