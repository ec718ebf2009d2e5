"""
A runner as in the original PARCS: COUNT Swarm services of IMAGE, one after another, each until it is connected.

It is written from the description of the original's wire, without aioparcs, and runs in a container on the overlay
network, since it finds its services by their names there. The clock runs until each has answered one message. Prints
the seconds.
"""

import http.client
import json
import os
import secrets
import socket
import struct
import time
from typing import Any
from urllib.parse import urlsplit

PORT = 4444
PAUSE = 0.5  # seconds between two tries, as in the original
PATIENCE = 60.0  # the original tries forever
LEADER = os.environ["LEADER_URL"]


def start() -> socket.socket:
    """Do what the original's ``start`` does: a service of its own, found by its name."""
    labels = json.loads(os.environ["LABELS"])
    spec = {
        "Name": f"original-{secrets.token_hex(6)}",  # Docker's own choice of names hits one that is taken, now and then
        "Labels": labels,
        "EndpointSpec": {"Mode": "dnsrr"},  # the original's virtual addresses would need IPVS in the kernel
        "TaskTemplate": {
            "ContainerSpec": {"Image": os.environ["IMAGE"], "Env": [f"LEADER_URL={LEADER}"], "Labels": labels},
            "Networks": [{"Target": os.environ["NETWORK"]}],
            "RestartPolicy": {"Condition": "none"},
        },
    }
    service = ask("POST", "/services/create", spec)["ID"]
    sock = connect(ask("GET", f"/services/{service}")["Spec"]["Name"])
    sock.sendall(b"SYN")
    assert take(sock, 3) == b"ACK"
    return sock


def ask(method: str, path: str, body: Any = None) -> Any:
    """Ask the leader's Docker API."""
    docker = http.client.HTTPConnection(urlsplit(LEADER).netloc, timeout=30)
    docker.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
    with docker.getresponse() as answer:
        text = answer.read()
        assert answer.status < 300, text
        return json.loads(text)


def connect(name: str) -> socket.socket:
    """Try until the name is known and its service answers."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection((socket.gethostbyname(name), PORT), timeout=PATIENCE)
        except OSError:
            assert time.monotonic() < deadline, f"{name} does not answer"
            time.sleep(PAUSE)


def send(sock: socket.socket, value: Any) -> None:
    body = json.dumps(value).encode()
    sock.sendall(struct.pack(">Q", len(body)))
    sock.sendall(body)


def recv(sock: socket.socket) -> Any:
    return json.loads(take(sock, struct.unpack(">Q", take(sock, 8))[0]))


def take(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = sock.recv(count - len(data))
        assert chunk, "the service has closed the connection"
        data += chunk
    return data


def main() -> None:
    count = int(os.environ["COUNT"])
    begun = time.perf_counter()
    services = [start() for _ in range(count)]
    for number, service in enumerate(services):
        send(service, ["hello", number])
    answers = [recv(service) for service in services]
    seconds = time.perf_counter() - begun
    assert [message for *_, message in answers] == [["hello", i] for i in range(count)], "an echo differs"
    assert len({host for host, *_ in answers}) == count, "two services are one container"
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
