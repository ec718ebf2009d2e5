"""The client of a job's control socket."""

from __future__ import annotations

import json
import os
import socket
import struct
from pathlib import Path
from typing import Any

from aioparcs import deadlines
from aioparcs.transport import os_reason

__all__ = ["ControlError", "send_request", "socket_of"]

_CREDENTIALS = struct.Struct("=3i")  # of a socket's peer: process, user, group
# Bytes that an answer may have.
_LONGEST = 1 << 20


class ControlError(Exception):
    """A running job can't be asked, or can't do what it was asked for; the text says why, for people."""


def socket_of(history: Path) -> Path:
    """Return the control socket of the job with a history; there is one only while the job runs here."""
    return history.with_suffix(".sock")


def send_request(path: Path, do: str, by: str = "", **numbers: int) -> str:
    """
    Send a running job a request, and return its answer; blocks for some seconds at most.

    Args:
        path: its control socket.
        do: ``stack``, ``where``, ``kill``, ``restart``, ``resize``, ``cancel`` or ``stop``.
        by: who wants it, for the job's log: "" for no name.
        numbers: what it is about: ``worker``, ``pool``, ``workers``, ``item``.

    Returns:
        What was done, or read, for people.

    Raises:
        ControlError: it doesn't run, doesn't answer, or can't do that.
    """
    request = json.dumps({"do": do, "by": by, **numbers}).encode() + b"\n"
    try:
        with _connect(path) as sock:
            sock.sendall(request)
            answer = _read_where(sock) if do == "where" else _read(sock)
    except TimeoutError:
        raise ControlError(
            f"the job's runner has not answered for {deadlines.CONTROL_ANSWER:g} s: its own code keeps its event loop "
            "busy, or it is stopped"
        ) from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise ControlError("the job has no control socket: it has ended, or its runner is on another machine") from None
    except OSError as error:
        raise ControlError(f"the job's control socket can't be used: {os_reason(error)}") from None
    if "error" in answer:
        raise ControlError(str(answer["error"]))
    return str(answer.get("text", ""))


def _connect(path: Path) -> socket.socket:
    """Return a socket that is connected to a path of any length."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = -1
    try:
        sock.settimeout(deadlines.CONTROL_ANSWER)
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        sock.connect(f"/proc/self/fd/{folder}/{path.name}")
    except BaseException:
        sock.close()
        raise
    finally:
        if folder >= 0:
            os.close(folder)
    return sock


def _read_where(sock: socket.socket) -> dict[str, Any]:
    """Return the answer; where the loop doesn't give it, have the handler of a signal do so."""
    sock.settimeout(deadlines.CONTROL_REQUEST)
    try:
        return _read(sock)
    except TimeoutError:
        from aioparcs.launcher.process.stack_dumps import ANSWER, handles  # most answers need no launcher's code

        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid = _CREDENTIALS.unpack(credentials)[0]
        if handles(pid, ANSWER):
            os.kill(pid, ANSWER)
        sock.settimeout(deadlines.CONTROL_ANSWER - deadlines.CONTROL_REQUEST)
        return _read(sock)


def _read(sock: socket.socket) -> dict[str, Any]:
    """Return the answer, the line that comes until the other side closes."""
    data = b""
    while not data.endswith(b"\n") and (piece := sock.recv(1 << 16)):
        data += piece
        if len(data) > _LONGEST:
            raise ControlError("the job's answer is too long")
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if type(answer) is not dict:
        raise ControlError("the job has ended without an answer")
    return answer
