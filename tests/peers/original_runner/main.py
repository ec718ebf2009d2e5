"""A runner: starts P services of an image, one after another, and has them find the divisors of N."""

import http.client
import json
import os
import socket
import struct
import time
from typing import Any
from urllib.parse import urlsplit

PORT = 4444
PAUSE = 0.5  # seconds between two tries, as in the original
PATIENCE = 60.0  # the original tries forever


class Connection:
    """What the original's runner does with a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.sendall(b"SYN")
        assert self.take(3) == b"ACK"

    def take(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self.sock.recv(count - len(data))
            assert chunk, "the service has closed the connection"
            data += chunk
        return data

    def send(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.sock.sendall(struct.pack(">Q", len(body)))
        self.sock.sendall(body)

    def recv(self) -> Any:
        return json.loads(self.take(struct.unpack(">Q", self.take(8))[0]))


def start(leader: str, image: str, label: str) -> str:
    """Create a Swarm service, as the original does, and return its name, which Docker chooses."""
    spec = {
        "Labels": {label: ""},  # for who removes it
        "EndpointSpec": {"Mode": "dnsrr"},  # not the original's: virtual addresses need a kernel with IPVS
        "TaskTemplate": {
            "ContainerSpec": {"Image": image, "Env": [f"LEADER_URL={leader}"]},
            "Networks": [{"Target": "parcs"}],
            "RestartPolicy": {"Condition": "none"},
        },
    }
    made = ask(leader, "POST", "/services/create", spec)
    return str(ask(leader, "GET", f"/services/{made['ID']}")["Spec"]["Name"])


def ask(leader: str, method: str, path: str, body: Any = None) -> Any:
    docker = http.client.HTTPConnection(urlsplit(leader).netloc, timeout=30)
    docker.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
    with docker.getresponse() as answer:
        text = answer.read()
        assert answer.status < 300, text
        return json.loads(text)


def connect(name: str) -> Connection:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            sock = socket.create_connection((socket.gethostbyname(name), PORT), timeout=PATIENCE)
        except OSError:
            assert time.monotonic() < deadline, f"{name} does not answer"
            time.sleep(PAUSE)
        else:
            return Connection(sock)


def main() -> None:
    leader, image, label = (os.environ[name] for name in ("LEADER_URL", "IMAGE", "LABEL"))
    n, p = int(os.environ["N"]), int(os.environ["P"])
    services = [connect(start(leader, image, label)) for _ in range(p)]
    bounds = [1 + n * i // p for i in range(p + 1)]
    for i, service in enumerate(services):
        for value in (n, bounds[i], bounds[i + 1]):
            service.send(value)
    print([divisor for service in services for divisor in service.recv()])
    for service in services:
        service.sock.close()


if __name__ == "__main__":
    main()
