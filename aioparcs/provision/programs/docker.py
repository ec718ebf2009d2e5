"""
Make requests to the Docker of this host, and print the answers as JSON. Runs on the host, as root.

What is sent is read from standard input, so that tokens are in no command line.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
from typing import Any

SOCKET = "/var/run/docker.sock"


class Connection(http.client.HTTPConnection):
    """A connection to Docker's socket."""

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(SOCKET)


def ask(method: str, path: str, body: Any, deadline: float) -> Any:
    """Return Docker's answer; until the deadline Docker may still be about to start."""
    while True:
        connection = Connection("docker", timeout=120)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
            return {"status": answer.status, "body": json.loads(text) if text.strip() else None}
        except OSError as error:
            if not isinstance(error, (FileNotFoundError, ConnectionRefusedError)) or time.monotonic() > deadline:
                return {"status": 0, "body": {"message": str(error)}}
        finally:
            connection.close()
        time.sleep(0.2)


def main() -> None:
    """Read the requests, and print an answer for each."""
    given = json.load(sys.stdin)
    deadline = time.monotonic() + given["wait"]
    print(json.dumps([ask(method, path, body, deadline) for method, path, body in given["requests"]]))


if __name__ == "__main__":
    main()
