"""
The blocking runner and services of the original PARCS, without Docker: what the programs beside it are written with.

They are written from the description of the original's wire: SYN and ACK, then for each message its length in eight
bytes and JSON. A service is a process of this machine in place of a container. It inherits the socket that it listens
on, so that its runner connects as soon as it is up; the original tries every half second.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

_DESCRIPTOR = "ORIGINAL_LISTENER"
_PATIENCE = 60.0  # seconds for the process of a service to start, and to end


class Connection:
    """Either end: blocking, as in the original."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def send(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self._sock.sendall(struct.pack(">Q", len(body)))
        self._sock.sendall(body)

    def send_all(self, *values: Any) -> None:
        for value in values:
            self.send(value)

    def recv(self) -> Any:
        return json.loads(self.take(struct.unpack(">Q", self.take(8))[0]))

    def take(self, count: int) -> bytes:
        """Receive so many bytes, and append what arrives to what there is, as the original does."""
        data = b""
        while len(data) < count:
            chunk = self._sock.recv(count - len(data))
            if not chunk:
                raise EOFError("the other side has closed the connection")
            data += chunk
        return data


class Task(Connection):
    """The runner's end, and the process of the service."""

    def __init__(self, sock: socket.socket, process: subprocess.Popen[bytes]) -> None:
        super().__init__(sock)
        self._process = process
        sock.settimeout(_PATIENCE)
        sock.sendall(b"SYN")
        assert self.take(3) == b"ACK"
        sock.settimeout(None)

    def shutdown(self) -> None:
        """Close the connection and end the service, as the original removes its container."""
        self._sock.close()
        self._process.kill()
        self._process.wait(_PATIENCE)


class Engine:
    """Starts services: programs beside that of the runner."""

    def run(self, name: str) -> Task:
        """Start the service of an image, here a program beside that of the runner, and wait until it is connected."""
        program = Path(sys.argv[0]).with_name(f"{name.rpartition('/')[2]}.py")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            process = subprocess.Popen(
                [sys.executable, program],
                pass_fds=[listener.fileno()],
                env={**os.environ, _DESCRIPTOR: str(listener.fileno())},
            )
            return Task(socket.create_connection(listener.getsockname()), process)


class Runner(ABC):
    """A program that starts services."""

    def __init__(self) -> None:
        self.engine = Engine()

    def start(self) -> None:
        self.run()

    @abstractmethod
    def run(self) -> None: ...


class Service(Runner):
    """A program that serves one runner."""

    def start(self) -> None:
        with socket.socket(fileno=int(os.environ.pop(_DESCRIPTOR))) as listener:
            sock, _ = listener.accept()
        self._runner = Connection(sock)
        assert self._runner.take(3) == b"SYN"
        sock.sendall(b"ACK")
        self.run()

    def send(self, value: Any) -> None:
        self._runner.send(value)

    def recv(self) -> Any:
        return self._runner.recv()


def serve(program: Runner) -> None:
    """Run a program: the last line of each."""
    program.start()
