"""
Connections: dial and listen over TCP and Unix sockets, with or without TLS.

`OSError` and `ssl.SSLError` stop here; what is above sees this package's errors. A listener with TLS has a
certificate of its own, made for it and pinned by its fingerprint in its address: there is no authority to ask.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import os
import resource
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic, sleep
from typing import Any

from aioparcs.address import Address
from aioparcs.errors import ConnectionLost, HandshakeError, SettingError
from aioparcs.settings import Settings

__all__ = ["Listener", "dial", "dial_now", "keep_alive", "listen", "raise_file_limit", "streams_of", "wait_silent"]

OnConnect = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_BACKLOG = 2048
# Seconds in which a silent host can be told from one that has nothing to say: the kernel asks after one second.
_QUICKEST = 1.5
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
_UNREACHABLE = "can't connect to {address} within {timeout:g} s: {reason}"
# Of Linux's struct tcp_info: milliseconds since data, and since an acknowledgement, was received last.
_TCP_INFO = struct.Struct("=52x2I")


class Listener:
    """
    A socket that accepts connections until it is closed.

    Attributes:
        address: where to dial it, with the chosen port and the certificate's fingerprint.
    """

    def __init__(self, on_connect: OnConnect) -> None:
        self.address: Address
        self._server: asyncio.AbstractServer
        self._on_connect = on_connect
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def aclose(self) -> None:
        """Accept no more, and cancel the connections that ``on_connect`` is still busy with."""
        self.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def close(self) -> None:
        """Do what `aclose` does, without waiting for those connections to end."""
        self._closed = True
        self._server.close()
        for task in self._tasks:
            task.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed:  # it was in its TLS handshake
            writer.transport.abort()
            return
        task = asyncio.ensure_future(self._on_connect(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, writer))

    def _done(self, writer: asyncio.StreamWriter, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():  # perhaps before its first step, and then nobody else has the connection
            writer.transport.abort()


async def listen(
    address: Address,
    on_connect: OnConnect,
    *,
    tls: bool = False,
    handshake_timeout: float = Settings().handshake_timeout,
) -> Listener:
    """
    Listen, and run ``on_connect(reader, writer)`` in a task of its own for each connection.

    Args:
        address: where; port 0 chooses one, ``Address("unix", "@")`` chooses an abstract name.
        on_connect: it owns the connection from then on; being cancelled ends the connection.
        tls: make a certificate and speak TLS (needs the extra ``aioparcs[tls]``).
        handshake_timeout: seconds that a TLS handshake may take.

    Raises:
        ConnectionLost: the address is taken, or not this machine's.
        SettingError: TLS was asked for and ``cryptography`` is not installed.
    """
    listener = Listener(on_connect)
    context, fingerprint = _server_context() if tls else (None, "")
    try:
        sock = _bind(address)
    except OSError as error:
        raise ConnectionLost(f"can't listen on {address}: {error.strerror or error}") from error
    start = asyncio.start_unix_server if sock.family == socket.AF_UNIX else asyncio.start_server
    tls_options: dict[str, Any] = {"ssl": context, "ssl_handshake_timeout": handshake_timeout} if context else {}
    listener._server = await start(listener._accept, sock=sock, backlog=_BACKLOG, start_serving=False, **tls_options)
    listener.address = _bound_address(address, sock, fingerprint)
    try:
        await listener._server.start_serving()
    except BaseException:
        listener.close()
        raise
    return listener


async def dial(
    address: Address, *, timeout: float = Settings().connect_timeout
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """
    Connect, trying again while nobody listens there yet.

    Cancelling it leaves no connection behind.

    Args:
        address: where to; its fingerprint asks for TLS with exactly that certificate.
        timeout: seconds for all tries together.

    Raises:
        ConnectionLost: nobody answered in time.
        HandshakeError: the listener's certificate is another one.
    """
    pause, last = _FIRST_PAUSE, "no answer"
    try:
        async with asyncio.timeout(timeout):
            while True:
                try:
                    return await _connect(address)
                except OSError as error:  # ssl.SSLError is one
                    last = _reason(error)
                await asyncio.sleep(pause)  # back off: the listener may still be starting
                pause = min(2 * pause, _LONGEST_PAUSE)
    except TimeoutError:
        raise ConnectionLost(_UNREACHABLE.format(address=address, timeout=timeout, reason=last)) from None


def dial_now(address: Address, *, timeout: float = Settings().connect_timeout) -> socket.socket:
    """
    Connect as `dial` does, but without TLS and without an event loop.

    Args:
        address: where to.
        timeout: seconds for all tries together.

    Raises:
        ConnectionLost: nobody answered in time.
    """
    deadline, pause = monotonic() + timeout, _FIRST_PAUSE
    # For a text `socket` loads the idna codec, a sixth of what a worker's start takes it, in each of them.
    host: Any = address.host.encode() if address.host.isascii() else address.host
    while True:
        try:
            if address.scheme == "unix":
                return _connect_unix(address)
            return socket.create_connection((host, address.port), max(deadline - monotonic(), pause))
        except OSError as error:
            last = _reason(error)
        if monotonic() + pause >= deadline:
            raise ConnectionLost(_UNREACHABLE.format(address=address, timeout=timeout, reason=last))
        sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


async def streams_of(sock: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Give a connected socket to the running loop."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def raise_file_limit() -> None:
    """Allow as many open files as the system lets this process have: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            pass  # the hard limit is beyond what the kernel allows


def keep_alive(transport: asyncio.BaseTransport, liveness: float, *, user_timeout: bool) -> None:
    """
    Have the kernel notice that the peer's host is gone.

    Args:
        transport: the connection; nothing happens unless it is TCP.
        liveness: seconds of silence after which an idle connection is given up.
        user_timeout: also give up when sent bytes stay unacknowledged for so long. It ends a connection whose
            reader pauses as well, so it is for connections that are always read.
    """
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family == socket.AF_UNIX:
        return
    interval = max(1, round(liveness / 6))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, round(liveness / 2)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    if user_timeout:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(liveness * 1000))


async def wait_silent(transport: asyncio.WriteTransport, liveness: float) -> bool:
    """
    Return True when the peer's host has not been heard for so many seconds, False when the connection is closed.

    An acknowledgement counts, so a program that stands still on a host that is well is no silent one. The kernel's
    own timeouts can't tell when this host drops the packets itself: a cable is unplugged, an interface gone.
    """
    while not transport.is_closing():
        if _silence(transport) > max(liveness, _QUICKEST):
            return True
        await asyncio.sleep(liveness / 4)
    return False


def _silence(transport: asyncio.BaseTransport) -> float:
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family == socket.AF_UNIX:
        return 0.0
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    return float(min(_TCP_INFO.unpack(info))) / 1000


async def _connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = _client_context() if address.fingerprint else None
    name = "" if context else None
    if address.scheme == "unix":
        sock = _connect_unix(address)
        reader, writer = await asyncio.open_unix_connection(sock=sock, ssl=context, server_hostname=name)
    else:
        reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context, server_hostname=name)
    if context:
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        if hashlib.sha256(certificate).hexdigest() != address.fingerprint:
            writer.transport.abort()
            raise HandshakeError(f"the certificate of {address} is another one than its address says")
    return reader, writer


def _connect_unix(address: Address) -> socket.socket:
    """Connect at once or fail: a listener whose backlog is full has the caller try again."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        sock.connect(_abstract(address))
    except OSError:
        sock.close()
        raise
    return sock


def _reason(error: OSError) -> str:
    """Say what went wrong in the system's words: asyncio's ``strerror`` is one of its own."""
    if error.errno and not isinstance(error, ssl.SSLError | socket.gaierror):
        return os.strerror(error.errno)
    return error.strerror or str(error)


def _abstract(address: Address) -> str:
    return "\0" + address.host[1:]


def _bind(address: Address) -> socket.socket:
    if address.scheme == "unix":
        sock = socket.socket(socket.AF_UNIX)
        # The bare "@" lets this program choose; the name is long enough that nobody guesses or repeats it.
        if address.host == "@":
            address = address._replace(host=f"@aioparcs-{os.urandom(16).hex()}")
        target: Any = _abstract(address)
    else:
        family, _, _, _, target = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(target)
    except OSError:
        sock.close()
        raise
    return sock


def _bound_address(address: Address, sock: socket.socket, fingerprint: str) -> Address:
    name = sock.getsockname()
    if address.scheme == "unix":
        return address._replace(host="@" + name[1:].decode(), fingerprint=fingerprint)
    return address._replace(port=name[1], fingerprint=fingerprint)


def _client_context() -> ssl.SSLContext:
    """Trust nobody's word: the pinned fingerprint is compared by hand, after the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _server_context() -> tuple[ssl.SSLContext, str]:
    try:
        certificate, key = _make_certificate()
    except ImportError as error:
        raise SettingError("TLS needs the package cryptography: install aioparcs[tls]") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    _load(context, certificate, key)
    return context, hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.decode())).hexdigest()


def _make_certificate() -> tuple[bytes, bytes]:
    """Make a certificate and its key, as PEM; it is pinned, so its name says nothing and its dates don't matter."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "aioparcs job")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return certificate.public_bytes(pem), key.private_bytes(pem, *plain)


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Hand over the pair through memory: ``ssl`` reads files only, and a key has no business on a disk."""
    with os.fdopen(os.memfd_create("aioparcs-tls"), "wb") as file:
        file.write(certificate + key)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
