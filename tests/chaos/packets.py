"""
A network emulator in user space: it delays, drops, repeats and reorders a node's packets, in both directions.

The kernel's own (``tc netem``) is an option that kernels of small machines are built without. This one takes the node's
cable off the switch and passes each packet between the two itself.
"""

from __future__ import annotations

import ctypes
import heapq
import itertools
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from random import Random

from tests.cluster import namespaces, network
from tests.cluster.command import execute

__all__ = ["disturbed"]

_DELAY, _JITTER = 0.02, 0.02  # seconds
_LOST, _REPEATED, _HASTY = 0.05, 0.02, 0.1  # shares of all packets; hasty ones overtake others
# From linux/if_packet.h: packets come, and are sent, with what the kernel leaves to the network card (checksums,
# segments), and none that left here comes back.
_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 15, 23
_ALL = socket.htons(3)
_LONGEST = 1 << 17
_CLONE_NEWNET = 0x40000000
_INNER, _OUTER = "chaos-inner", "chaos-outer"


@contextmanager
def disturbed(node: str, random: Random) -> Iterator[None]:
    """Disturb a node's packets in the block; raise at its end what has failed in passing them on."""
    on_switch = ("ip", "-n", network.SWITCH, "link")
    with ExitStack() as stack:
        stack.callback(network.set_port, node, forwards=True)
        execute(*on_switch, "add", _OUTER, "type", "veth", "peer", "name", _INNER)
        stack.callback(execute, *on_switch, "del", _OUTER)
        execute(*on_switch, "set", _OUTER, "master", network.BRIDGE, "up")
        execute(*on_switch, "set", _INNER, "up")
        network.set_port(node, forwards=False)
        threads, stop = ThreadPoolExecutor(1), threading.Event()
        stack.callback(threads.shutdown, wait=False)
        passing = threads.submit(_pass_packets, node, random, stop)
        stack.callback(passing.result, 30)
        stack.callback(stop.set)
        yield


def _pass_packets(node: str, random: Random, stop: threading.Event) -> None:
    """Pass packets between a node's cable and the switch until ``stop`` is set."""
    _enter(network.SWITCH)
    due: list[tuple[float, int, socket.socket, bytes]] = []
    numbers = itertools.count()
    with _opened(node) as cable, _opened(_INNER) as switch:
        other = {cable: switch, switch: cable}
        while not stop.is_set():
            wait = due[0][0] - time.monotonic() if due else 0.1
            for ready in select.select([cable, switch], [], [], min(max(wait, 0.0), 0.1))[0]:
                packet = ready.recv(_LONGEST)
                for _ in range(_copies(random)):
                    delay = 0.0 if random.random() < _HASTY else _DELAY + random.random() * _JITTER
                    heapq.heappush(due, (time.monotonic() + delay, next(numbers), other[ready], packet))
            while due and due[0][0] <= time.monotonic():
                _, _, target, packet = heapq.heappop(due)
                try:
                    target.send(packet)
                except OSError:  # no room, or a packet that it doesn't take: lost, as on any network
                    pass


def _copies(random: Random) -> int:
    chosen = random.random()
    return 0 if chosen < _LOST else 2 if chosen < _LOST + _REPEATED else 1


def _opened(device: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, _ALL)
    opened.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    opened.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    opened.bind((device, 0))
    return opened


def _enter(namespace: str) -> None:
    """Move this thread, and no other, into a network namespace."""
    descriptor = os.open(namespaces.file(namespace), os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"the namespace {namespace} can't be entered")
    finally:
        os.close(descriptor)
