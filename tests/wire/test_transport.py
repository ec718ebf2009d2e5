"""Listening and dialling: addresses, TLS with a pinned certificate, and what goes wrong."""

import asyncio
import os
import resource
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aioparcs import Address, ConnectionLost, HandshakeError
from aioparcs.transport import Listener, dial, is_of_another_user, keep_alive, listen, pending
from aioparcs.transport import listener as listeners
from tests.support.leaks import Snapshot
from tests.support.waiting import PATIENCE, until

LOCAL = Address("tcp", "127.0.0.1")
KINDS = pytest.mark.parametrize(
    "address, tls", [(LOCAL, False), (LOCAL, True), (Address("unix", "@"), False), (Address("unix", "@"), True)]
)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        writer.write(await reader.readline())
        await writer.drain()
    except ConnectionError:
        pass  # who dialled didn't want to stay
    finally:
        writer.close()


def expect_failed_handshakes() -> None:
    """Ignore asyncio's reports of failed handshakes, which it makes in debug mode."""
    loop = asyncio.get_running_loop()
    report = loop.get_exception_handler()

    def note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "transport creation" not in context["message"] and report:
            report(loop, context)

    loop.set_exception_handler(note)


@asynccontextmanager
async def echoing(address: Address = LOCAL, *, tls: bool = False) -> AsyncIterator[Listener]:
    listener = await listen(address, echo, tls=tls)
    try:
        yield listener
    finally:
        await listener.aclose()


async def ask(address: Address, timeout: float = 5) -> bytes:
    reader, writer = await dial(address, timeout=timeout)
    try:
        writer.write(b"anyone?\n")
        return await reader.readline()
    finally:
        writer.close()


@pytest.mark.slow
@KINDS
async def test_a_listener_can_be_dialled_at_its_address(address: Address, tls: bool) -> None:
    async with echoing(address, tls=tls) as listener:
        assert bool(listener.address.fingerprint) == tls
        assert Address.parse(str(listener.address)) == listener.address
        assert await asyncio.gather(*(ask(listener.address) for _ in range(20))) == [b"anyone?\n"] * 20


async def test_listeners_choose_ports_and_names_of_their_own() -> None:
    for address in (LOCAL, Address("unix", "@")):
        async with echoing(address) as first, echoing(address) as second:
            assert first.address != second.address


async def test_a_chosen_name_is_kept() -> None:
    name = f"@aioparcs-test-{os.getpid()}"
    async with echoing(Address("unix", name)) as listener:
        assert listener.address.host == name
        assert await ask(Address("unix", name)) == b"anyone?\n"


async def test_an_address_that_is_taken_is_a_loss() -> None:
    async with echoing() as listener:
        with pytest.raises(ConnectionLost, match="can't listen"):
            await listen(listener.address, echo)
    async with echoing(Address("unix", "@")) as listener:
        with pytest.raises(ConnectionLost, match="can't listen"):
            await listen(listener.address, echo)


async def test_an_address_of_another_machine_is_a_loss() -> None:
    with pytest.raises(ConnectionLost, match="can't listen"):
        await listen(Address("tcp", "192.0.2.1", 1), echo)


async def test_dialling_waits_for_a_listener_that_is_still_starting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = Address("tcp", "127.0.0.1", taken.getsockname()[1])
        asking = asyncio.ensure_future(ask(address))
        await asyncio.wait([asking], timeout=0.05)
        assert not asking.done()
    async with echoing(address):
        assert await asking == b"anyone?\n"


async def test_dialling_without_a_listener_ends_at_the_deadline() -> None:
    for address in (Address("tcp", "127.0.0.1", 1), Address("unix", "@aioparcs-absent")):
        start = time.monotonic()
        with pytest.raises(ConnectionLost, match=r"can't connect to .* within 0\.3 s: .*refused"):
            await dial(address, timeout=0.3)
        assert time.monotonic() - start < PATIENCE


async def test_a_cancelled_dial_leaves_nothing() -> None:
    expect_failed_handshakes()
    async with echoing(tls=True) as listener:
        assert await ask(listener.address) == b"anyone?\n"  # now the loop has opened what it needs for itself
        before, steps, dialling = Snapshot.take(), 0, asyncio.ensure_future(dial(listener.address))
        while not dialling.done():  # cancelled at each of its steps, until it takes no more than these
            dialling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dialling
            await until(lambda: not before.leaks())
            steps += 1
            dialling = asyncio.ensure_future(dial(listener.address))
            for _ in range(steps):
                await asyncio.sleep(0)
        assert steps > 3
        dialling.result()[1].close()


@pytest.mark.parametrize("fingerprint", ["0" * 64, "nonsense"])
async def test_another_certificate_is_refused(fingerprint: str) -> None:
    async with echoing(tls=True) as listener:
        with pytest.raises(HandshakeError, match="certificate"):
            await dial(listener.address._replace(fingerprint=fingerprint))
        assert await ask(listener.address) == b"anyone?\n"


async def test_another_listeners_certificate_is_refused() -> None:
    async with echoing(tls=True) as first, echoing(tls=True) as second:
        assert first.address.fingerprint != second.address.fingerprint
        with pytest.raises(HandshakeError):
            await dial(first.address._replace(fingerprint=second.address.fingerprint))


async def test_plain_and_tls_peers_cannot_connect() -> None:
    expect_failed_handshakes()
    async with echoing(tls=True) as listener:
        try:
            assert b"anyone" not in await ask(listener.address._replace(fingerprint=""))
        except ConnectionError:
            pass
    async with echoing() as listener:
        with pytest.raises(ConnectionLost):
            await dial(listener.address._replace(fingerprint="0" * 64), timeout=0.1)


async def test_the_connection_is_encrypted_with_tls_1_3() -> None:
    expect_failed_handshakes()
    async with echoing(tls=True) as listener:
        reader, writer = await dial(listener.address)
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        writer.write(b"\n")
        assert await reader.readline() == b"\n"
        writer.close()
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode, old.maximum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(listener.address.host, listener.address.port, ssl=old)


async def test_closing_a_listener_cancels_what_it_is_busy_with() -> None:
    begun: list[asyncio.StreamReader] = []

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.append(reader)
        await asyncio.Event().wait()

    listener = await listen(LOCAL, never)
    ends = [await dial(listener.address) for _ in range(5)]
    while not begun:  # noqa: ASYNC110  # some have begun, some perhaps not
        await asyncio.sleep(0)
    await listener.aclose()
    for reader, writer in ends:
        try:
            assert await reader.read() == b""
        except ConnectionError:
            pass
        writer.close()
    with pytest.raises(ConnectionLost):
        await dial(listener.address, timeout=0.05)


async def test_a_listener_without_descriptors_reports_it_once_and_goes_on_when_there_are_some() -> None:
    messages: list[str] = []
    loop, before = asyncio.get_running_loop(), resource.getrlimit(resource.RLIMIT_NOFILE)
    report = loop.get_exception_handler()
    async with echoing(Address("unix", "@")) as listener:
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(9)]
        for sock in waiting:
            sock.connect("\0" + listener.address.host[1:])  # the loop doesn't turn: none is accepted yet
            sock.send(b"anyone?\n")
            sock.setblocking(False)
        loop.set_exception_handler(lambda _, context: messages.append(context["message"]))
        resource.setrlimit(resource.RLIMIT_NOFILE, (waiting[-1].fileno() + 1, before[1]))
        try:
            await asyncio.sleep(0.25)  # more than two tries
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            loop.set_exception_handler(report)
        assert [await loop.sock_recv(sock, 100) for sock in waiting] == [b"anyone?\n"] * 9
        for sock in waiting:
            sock.close()
    (line,) = messages
    assert line.startswith("no connection to unix:@aioparcs-")
    assert line.endswith("can be accepted until some are closed: Too many open files")


async def test_stalled_tls_handshakes_are_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "_MOST_TLS", 3)
    monkeypatch.setattr(pending, "_GRACE", 0.0)
    expect_failed_handshakes()
    async with echoing(tls=True) as listener:
        silent = [await dial(listener.address._replace(fingerprint="")) for _ in range(8)]
        assert await ask(listener.address) == b"anyone?\n"
        for reader, _ in silent[:5]:
            assert await reader.read() == b""
        for _, writer in silent:
            writer.close()


async def test_any_of_many_new_tls_handshakes_may_be_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "_MOST_TLS", 3)
    monkeypatch.setattr(pending, "_GRACE", 60.0)
    expect_failed_handshakes()
    async with echoing(tls=True) as listener:
        ends = [await dial(listener.address._replace(fingerprint="")) for _ in range(4)]
        reading = [asyncio.ensure_future(reader.read()) for reader, _ in ends]
        (closed,), open_ones = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
        assert closed.result() == b""
        assert len(open_ones) == 3
        assert await ask(listener.address, timeout=20) == b"anyone?\n"  # one try of four is closed: it dials again
        for _, writer in ends:
            writer.close()
        await asyncio.wait(reading)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("user, expected", [(0, False), (54321, True)])
async def test_the_user_of_a_unix_connection_is_known(user: int, expected: bool) -> None:
    found: list[bool] = []

    async def look(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.append(is_of_another_user(writer.transport))
        writer.close()

    listener = await listen(Address("unix", "@"), look)
    name = listener.address.host[1:]
    text = f"import os, socket; os.setuid({user}); s = socket.socket(socket.AF_UNIX); s.connect('\\0{name}'); s.recv(1)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", text, cwd="/")
    assert await process.wait() == 0
    await listener.aclose()
    assert found == [expected]
    async with echoing() as tcp:
        _, writer = await dial(tcp.address)
        assert not is_of_another_user(writer.transport)
        writer.close()


async def test_keep_alive_sets_the_socket_options() -> None:
    async with echoing() as listener:
        reader, writer = await dial(listener.address)
        keep_alive(writer.transport, 30, user_timeout=True)
        sock = writer.get_extra_info("socket")
        level = socket.IPPROTO_TCP
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert [
            sock.getsockopt(level, option)
            for option in (socket.TCP_NODELAY, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        ] == [1, 15, 5, 3]
        assert sock.getsockopt(level, socket.TCP_USER_TIMEOUT) == 30_000
        writer.write(b"\n")
        assert await reader.read() == b"\n"
        writer.close()
    async with echoing(Address("unix", "@")) as listener:
        reader, writer = await dial(listener.address)
        keep_alive(writer.transport, 30, user_timeout=True)  # nothing to do, and no error
        writer.write(b"\n")
        assert await reader.read() == b"\n"
        writer.close()


def test_tls_without_cryptography_is_a_setting_error() -> None:
    program = """
import asyncio, sys
sys.modules["cryptography"] = None  # what an import of a missing package comes to
from aioparcs import Address, SettingError
from aioparcs.transport import listen
try:
    asyncio.run(listen(Address("tcp", "127.0.0.1"), None, tls=True))
except SettingError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert "aioparcs[tls]" in done.stdout


async def test_a_listener_that_closes_many_connections_slows_down_and_serves_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listeners, "_MANY", 3)
    monkeypatch.setattr(listeners, "_SLOW", 0.01)
    pauses: list[float] = []
    suspend = Listener._suspend

    def pause_shortly(listener: Listener, seconds: float) -> None:
        pauses.append(seconds)
        monkeypatch.setattr(listeners, "_SLOW", 1e9)  # so that much time passes
        suspend(listener, 0.0)

    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    monkeypatch.setattr(Listener, "_suspend", pause_shortly)
    listener = await listen(LOCAL, refuse)
    try:
        for turn in range(6):
            reader, writer = await dial(listener.address)
            assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
            writer.close()
            await writer.wait_closed()
            assert bool(pauses) == (turn > 3)
        assert pauses[0] > 400
    finally:
        await listener.aclose()
