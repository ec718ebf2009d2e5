"""Requests of nats-py through a NATS server, with the largest message that it allows (64 MiB) in place of 1 MiB."""

from __future__ import annotations

import asyncio
import ctypes
import signal
import socket
import sys
import tempfile
from pathlib import Path

import nats
from nats.aio.msg import Msg

from benchmarks.peers import control
from benchmarks.peers.echoes import rounds

LARGEST = 64 << 20
_PATIENCE = 60.0  # seconds for one answer
_DEATH_SIGNAL = 1


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)


async def _serve_one() -> None:
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "server.conf"
        file.write_text(f"listen: 127.0.0.1:{port}\nmax_payload: {LARGEST}\nmax_pending: {4 * LARGEST}\n")
        server = await asyncio.create_subprocess_exec(
            "nats-server", "-c", str(file), stderr=asyncio.subprocess.DEVNULL, preexec_fn=_die_with_parent
        )
        try:
            await _answer(port)
        finally:
            server.terminate()
            await server.wait()


async def _not_up_yet(error: Exception) -> None:
    """Ignore an error: the client tries again, 60 times, and raises the last."""


async def _answer(port: int) -> None:
    client = await nats.connect(
        f"nats://127.0.0.1:{port}", reconnect_time_wait=0.1, pending_size=4 * LARGEST, error_cb=_not_up_yet
    )

    async def echo(message: Msg) -> None:
        await message.respond(message.data)

    await client.subscribe("echo", cb=echo, pending_bytes_limit=4 * LARGEST)
    await client.flush()
    control.announce(port)
    await asyncio.to_thread(sys.stdin.read)
    await client.close()


async def _drive_one(mode: str, port: int) -> None:
    client = await nats.connect(f"nats://127.0.0.1:{port}", pending_size=4 * LARGEST)

    async def exchange(message: bytes) -> bytes:
        return (await client.request("echo", message, timeout=_PATIENCE)).data  # type: ignore[no-any-return]

    await rounds.drive_async(mode, exchange)
    await client.close()


if __name__ == "__main__":
    control.main(lambda mode: asyncio.run(_serve_one()), lambda mode, port: asyncio.run(_drive_one(mode, port)))
