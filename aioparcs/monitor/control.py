"""The client of a job's control socket."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from pathlib import Path
from typing import Any

from aioparcs import deadlines
from aioparcs.transport import os_reason, short_path

__all__ = ["ControlError", "ask_job", "send_request"]

_CREDENTIALS = struct.Struct("=3i")  # of a socket's peer: process, user, group
# Bytes that an answer may have.
_LONGEST = 1 << 20
# Seconds between two attempts to connect to a runner that has as many clients waiting as it allows.
_PAUSE = 0.05


class ControlError(Exception):
    """A running job can't be asked, or can't do what it was asked for; the text says why, for people."""


def send_request(path: Path, do: str, by: str = "", **numbers: int) -> str:
    """Send a running job a request as `ask_job` does, from a thread without an event loop."""
    return asyncio.run(ask_job(path, do, by, **numbers))


async def ask_job(path: Path, do: str, by: str = "", **numbers: int) -> str:
    """
    Send a running job a request, and return its answer, within some seconds.

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
        async with asyncio.timeout(deadlines.CONTROL_ANSWER):
            line = await _exchange(path, request, is_where=do == "where")
    except TimeoutError:
        raise ControlError(
            f"the job's runner has not answered for {deadlines.CONTROL_ANSWER:g} s: its own code keeps its event loop "
            "busy, or it is stopped"
        ) from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise ControlError("the job has no control socket: it has ended, or its runner is on another machine") from None
    except OSError as error:
        raise ControlError(f"the job's control socket can't be used: {os_reason(error)}") from None
    except ValueError:  # of `readline`
        raise ControlError("the job's answer is too long") from None
    answer = _read(line)
    if "error" in answer:
        raise ControlError(str(answer["error"]))
    return str(answer.get("text", ""))


async def _exchange(path: Path, request: bytes, *, is_where: bool) -> bytes:
    """Send a line, and return the one that comes back."""
    sock = await _connect(path)
    try:
        pid = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[0]
        reader, writer = await asyncio.open_unix_connection(sock=sock, limit=_LONGEST)
    except BaseException:
        sock.close()
        raise
    try:
        writer.write(request)
        return await (_read_where(reader, pid) if is_where else reader.readline())
    finally:
        writer.transport.abort()


async def _read_where(reader: asyncio.StreamReader, pid: int) -> bytes:
    """Return the answer; where the loop doesn't give it, have the handler of a signal do so."""
    try:
        async with asyncio.timeout(deadlines.CONTROL_REQUEST):
            return await reader.readline()
    except TimeoutError:
        from aioparcs.launcher.process.stack_dumps import ANSWER, handles  # most answers need no launcher's code

        if handles(pid, ANSWER):
            os.kill(pid, ANSWER)
        return await reader.readline()


async def _connect(path: Path) -> socket.socket:
    """Return a socket that is connected to a path of any length, when the other side has room for one more client."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with short_path(path) as name:
            while True:
                try:
                    sock.connect(name)
                    return sock
                except BlockingIOError:  # no event tells when there is room
                    await asyncio.sleep(_PAUSE)
    except BaseException:
        sock.close()
        raise


def _read(line: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if type(answer) is not dict:
        raise ControlError("the job has ended without an answer")
    return answer
