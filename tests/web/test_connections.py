"""Connections without a session: they end soon, and don't keep others out."""

import asyncio
from contextlib import AsyncExitStack, suppress
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.support.web import open_page, read_stream, write_history

pytestmark = pytest.mark.one_loop
LOGIN = b"POST /api/login HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\nContent-Length: 9\r\n\r\n{"


async def closed(reader: asyncio.StreamReader) -> None:
    """Wait until the other side has closed a connection, without an answer."""
    with suppress(ConnectionResetError):
        assert not await reader.read()


async def test_many_silent_connections_do_not_keep_others_out() -> None:
    write_history("render-1a2b3c")
    async with open_page() as page, AsyncExitStack() as stack:
        stream = read_stream(page, "/api/jobs")
        await anext(stream)
        port = urlsplit(page.url).port
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
        for _, writer in silent:
            stack.callback(writer.transport.abort)
        new = await stack.enter_async_context(aiohttp.ClientSession())
        async with new.get(f"{page.url}/") as answer:
            assert answer.status == 200
        await closed(silent[0][0])
        assert not silent[-1][0].at_eof()
        write_history("other-1a2b3c")
        assert len((await anext(stream))["jobs"]) == 2  # a session is left alone
        await stream.aclose()


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost", LOGIN], ids=["nothing", "a part", "no body"])
async def test_a_connection_without_a_whole_request_is_closed(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioparcs.web.http.connections.FIRST_REQUEST", 0.1)
    async with open_page() as page, asyncio.timeout(4):
        host = urlsplit(page.url).netloc.encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(page.url).port)
        writer.write(sent % (host, host) if b"%s" in sent else sent)
        await closed(reader)
        writer.transport.abort()
