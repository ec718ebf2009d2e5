"""A capture of the cluster's network, as anyone with access to it could make it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.cluster import namespaces, network

__all__ = ["Capture", "capture"]

# Runs in the namespace of the cluster's switch, until its standard input is closed.
_PROGRAM = """
import json, select, socket, sys
marker = sys.argv[1].encode()
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL, on every port
wire.setsockopt(socket.SOL_SOCKET, 33, 256 << 20)  # SO_RCVBUFFORCE: nothing is missed
print("listening", flush=True)
frames = size = seen = 0
while True:
    ready = select.select([wire, sys.stdin], [], [])[0]
    if wire in ready:
        frame = wire.recv(1 << 17)
        frames, size, seen = frames + 1, size + len(frame), seen + (marker in frame)
    elif ready:
        break
print(json.dumps([frames, size, seen]))
"""


@dataclass
class Capture:
    """
    What was seen; known when the block is left.

    Attributes:
        frames: how many there were.
        size: their bytes.
        seen: how many of them had the marker in them.
    """

    frames: int = 0
    size: int = 0
    seen: int = 0


@contextmanager
def capture(marker: str) -> Iterator[Capture]:
    """Look for a text in every frame on the cluster's switch: all that its nodes, and this machine, send each other."""
    inside = ["nsenter", f"--net={namespaces.file(network.SWITCH)}"]
    found = Capture()
    with subprocess.Popen(
        [*inside, sys.executable, "-c", _PROGRAM, marker], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            assert process.stdout.readline() == "listening\n"
            yield found
            output, _ = process.communicate(timeout=30)
            found.frames, found.size, found.seen = json.loads(output)
        finally:
            process.kill()
