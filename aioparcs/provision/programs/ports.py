"""
Find out which ports of other hosts this one reaches. Runs on all hosts at once, as the user who logs in.

Each listens first. The first line of input names the ports, and what is listened on is printed. The second line names
the targets; then what could not be reached is printed. At the end of the input the datagrams are printed that came.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import threading
import time
from typing import Any

PATIENCE = 3.0  # seconds for a connection, and for the answer to a datagram
AGAIN = 0.5  # seconds between two datagrams, of which one may be lost


def bind(kind: int, port: int) -> Any:
    """Return a socket that is bound to a port, or None if it is taken."""
    one = socket.socket(socket.AF_INET, kind)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind(("", port))
        if kind == socket.SOCK_STREAM:
            one.listen(64)
    except OSError:
        one.close()
        return None
    return one


def echo(sockets: list[Any], came: set[str]) -> None:
    """Send each datagram back, and take note of it; the connections of the others need no answer."""
    while True:
        for one in select.select(sockets, [], [])[0]:
            if one.type == socket.SOCK_STREAM:
                one.accept()[0].close()
                continue
            data, sender = one.recvfrom(512)
            came.add(data.decode(errors="replace"))
            try:
                one.sendto(data, sender)
            except OSError:  # its own firewall: that it came is what counts
                pass


def reach_tcp(address: str, port: int) -> str:
    """Return why a port can't be reached, "" if it can."""
    try:
        socket.create_connection((address, port), PATIENCE).close()
    except socket.timeout:  # noqa: UP041  # another class up to Python 3.9
        return "no answer"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def reach_udp(address: str, port: int, word: str) -> str:
    """Return "" if a datagram comes back, else why it did not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(AGAIN)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                one.connect((address, port))
                one.send(word.encode())
                if one.recv(512).decode(errors="replace") == word:
                    return ""
            except socket.timeout:  # noqa: UP041
                continue
            except OSError as error:
                return error.strerror or str(error)
        return "no answer"


def dial(targets: list[Any]) -> dict[str, str]:
    """Return the keys of the targets that can't be reached, with the reasons."""
    found = {}

    def one(key: str, protocol: str, address: str, port: int) -> None:
        reason = reach_tcp(address, port) if protocol == "tcp" else reach_udp(address, port, key)
        if reason:
            found[key] = reason

    threads = [threading.Thread(target=one, args=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def say(what: Any) -> None:
    """Print a line at once."""
    print(json.dumps(what), flush=True)


def main() -> None:
    """Listen, dial, and say what came."""
    kinds = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
    bound = {(name, port): bind(kinds[name], port) for name, port in json.loads(sys.stdin.readline())}
    came: set[str] = set()
    sockets = [one for one in bound.values() if one]
    if sockets:
        threading.Thread(target=echo, args=(sockets, came), daemon=True).start()
    say([list(key) for key, one in bound.items() if not one])
    say(dial(json.loads(sys.stdin.readline())))
    sys.stdin.read()
    say(sorted(came))


if __name__ == "__main__":
    main()
