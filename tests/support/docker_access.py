"""Ways to a leader's Docker for tests: its socket behind TLS, and behind a real sshd; both of this machine."""

import asyncio
import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tests.cluster import packages
from tests.cluster.command import execute, until

__all__ = ["Certificates", "sshd", "tls_gate"]

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Certificates:
    """
    An authority, a server's certificate and a client's, in a folder.

    Attributes:
        client: the folder for ``DOCKER_CERT_PATH``.
    """

    def __init__(self, folder: Path, host: str) -> None:
        self.client = folder / "client"
        self.client.mkdir()
        self._folder = folder
        self._authority = self.client / "ca.pem"
        key = folder / "ca-key.pem"
        _openssl("req", "-x509", *_CURVE, "-subj", "/CN=authority", "-keyout", key, "-out", self._authority)
        self._sign("server", folder, f"subjectAltName=IP:{host}")
        self._sign("client", self.client, "extendedKeyUsage=clientAuth")

    @property
    def server(self) -> ssl.SSLContext:
        """A server's context, which demands a certificate of its clients."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self._authority))
        context.load_cert_chain(self._folder / "cert.pem", self._folder / "key.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as Docker's own server, which wants no key usage
        return context

    def _sign(self, name: str, target: Path, extension: str) -> None:
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        extensions.write_text(extension)
        _openssl("req", *_CURVE, "-subj", f"/CN={name}", "-keyout", target / "key.pem", "-out", request)
        authority = ("-CA", self._authority, "-CAkey", self._folder / "ca-key.pem", "-CAcreateserial")
        _openssl("x509", "-req", "-in", request, *authority, "-extfile", extensions, "-out", target / "cert.pem")


def _openssl(*arguments: str | Path) -> None:
    execute("openssl", *arguments)


@asynccontextmanager
async def tls_gate(host: str, certificates: Certificates, docker: Path) -> AsyncIterator[int]:
    """Pass on to a Docker's socket what those send who prove to be clients; gives the port."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to, at = await asyncio.open_unix_connection(docker)
        await asyncio.gather(pump(reader, at), pump(to, writer), return_exceptions=True)
        await asyncio.gather(at.wait_closed(), writer.wait_closed(), return_exceptions=True)

    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, host, 0, ssl=certificates.server)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await asyncio.wait_for(asyncio.gather(*tasks), 20)


@contextmanager
def sshd(folder: Path, host: str, port: int, docker: Path) -> Iterator[Path]:
    """
    Run an sshd through which a session's Docker is the one at a socket.

    Gives the home of a user who may log in: with ``.ssh/known_hosts`` and a key in ``.ssh``.
    """
    packages.provide(folder, {"sshd": "openssh-server", "ssh-keygen": "openssh-client"})
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True)
    keygen = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f")
    execute(*keygen, folder / "host")
    execute(*keygen, home / ".ssh" / "id_ed25519")
    public = (folder / "host.pub").read_text().split(" ")[:2]
    (home / ".ssh" / "known_hosts").write_text(f"[{host}]:{port} {' '.join(public)}\n")
    (folder / "config").write_text(
        f"Port {port}\nListenAddress {host}\nHostKey {folder}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {home}/.ssh/id_ed25519.pub\nPasswordAuthentication no\nPermitRootLogin yes\n"
        f"SetEnv DOCKER_HOST=unix://{docker}\n"
    )
    separation = Path("/run/sshd")  # sshd insists on it
    missing = not separation.exists()
    separation.mkdir(exist_ok=True)
    log = folder / "sshd.log"
    try:
        with subprocess.Popen(["/usr/sbin/sshd", "-D", "-E", log, "-f", folder / "config"]) as process:
            try:
                until(lambda: "Server listening" in _text(log), 20, lambda: f"sshd does not listen: {_text(log)}")
                yield home
            finally:
                process.terminate()
                process.wait(20)
    finally:
        if missing:
            os.rmdir(separation)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
