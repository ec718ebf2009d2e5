"""A service: one runner on port 4444, which says by verbs what it wants."""

import http.client
import json
import os
import signal
import socket
import struct
import sys
from typing import Any
from urllib.parse import urlsplit

LEADER = os.environ["LEADER_URL"]  # the original's services end without it
PORT = 4444


def main() -> None:
    print("leader", LEADER, flush=True)
    with socket.create_server(("0.0.0.0", PORT)) as server:
        connection, _ = server.accept()
    assert take(connection, 3) == b"SYN"
    connection.sendall(b"ACK")
    while True:
        handle(connection, *recv(connection))


def handle(connection: socket.socket, verb: str, *arguments: Any) -> None:
    if verb == "divisors":
        n, a, b = [recv(connection) for _ in range(3)]
        send(connection, [i for i in range(a, b) if n % i == 0])
    elif verb == "echo":
        for value in arguments:
            send(connection, value)
    elif verb == "who":
        send(connection, socket.gethostname())
    elif verb == "leader":
        send(connection, ask_leader())
    elif verb == "half":
        print("half a message", flush=True)
        connection.sendall(struct.pack(">Q", 100) + b'"too litt')
        os._exit(arguments[0])
    elif verb == "exit":
        print("last words", flush=True)
        sys.exit(arguments[0])
    elif verb == "die":
        print("last words", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


def ask_leader() -> str:
    """Do what the original's services begin with."""
    leader = http.client.HTTPConnection(urlsplit(LEADER).netloc, timeout=10)
    leader.request("GET", "/_ping")
    with leader.getresponse() as answer:
        return answer.read().decode()


def take(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            sys.exit(0 if not data else "the runner is gone")
        data += chunk
    return data


def recv(connection: socket.socket) -> Any:
    return json.loads(take(connection, struct.unpack(">Q", take(connection, 8))[0]))


def send(connection: socket.socket, value: Any) -> None:
    body = json.dumps(value).encode()
    connection.sendall(struct.pack(">Q", len(body)))
    connection.sendall(body)


main()
