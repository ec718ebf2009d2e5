"""``grpc.aio``: one call that streams both ways, without a limit on messages, and bytes as they are."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from benchmarks.peers import control
from benchmarks.peers.echoes import rounds

_METHOD = "/echo.Echo/echo"
_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


async def _echo(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    async for message in requests:
        yield message


async def _serve_one() -> None:
    server = grpc.aio.server(options=_OPTIONS)
    handler = grpc.stream_stream_rpc_method_handler(_echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", {"echo": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    control.announce(port)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


async def _drive_one(mode: str, port: int) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS) as channel:
        call = channel.stream_stream(_METHOD)()

        async def exchange(message: bytes) -> Any:
            await call.write(message)
            return await call.read()

        await rounds.drive_async(mode, exchange)
        await call.done_writing()


if __name__ == "__main__":
    control.main(lambda mode: asyncio.run(_serve_one()), lambda mode, port: asyncio.run(_drive_one(mode, port)))
