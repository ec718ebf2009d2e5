"""The reports that workers write into a pipe to their launcher's agent: progress, and channels to other workers."""

from __future__ import annotations

import struct

__all__ = ["PEER_CLOSED", "PEER_OPENED", "PROGRESS", "REPORT"]

# One report on the pipe that all workers share: its kind, the worker's number, and two numbers more. Small enough to be
# written atomically.
REPORT = struct.Struct("=Bqdd")
# The kinds: what is done and how much there is to do; the number of the other worker, and 0.
PROGRESS, PEER_OPENED, PEER_CLOSED = range(3)
