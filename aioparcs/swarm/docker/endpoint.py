"""
The address of the leader, and the client of its Docker API.

The address is, in this order, what the caller names, ``LEADER_URL`` as in the original PARCS, then what Docker's own
command line would use: ``DOCKER_HOST``, the context in ``DOCKER_CONTEXT``, the current context, the local socket.
"""

from __future__ import annotations

import importlib.util
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import aiodocker
import aiohttp

from aioparcs.errors import ClusterError, SettingError
from aioparcs.swarm.docker.credentials import is_configured

__all__ = [
    "REQUEST",
    "STREAM",
    "UNREACHABLE",
    "DockerEndpoint",
    "cluster_errors",
    "find_leader",
    "is_loopback",
    "open_docker",
    "status_of",
    "to_cluster_error",
]

# Seconds. Docker answers a request of the Swarm within 20; what takes longer than these is not coming.
REQUEST = aiohttp.ClientTimeout(total=60, sock_connect=5, sock_read=50)
# For builds, pushes and logs, which may take any time, but not be silent for long.
STREAM = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=600)

LOCAL = "unix:///var/run/docker.sock"
_SCHEMES = ("tcp", "http", "https", "unix", "ssh")
UNREACHABLE = 900  # aiodocker's status for "no connection"


class DockerEndpoint(NamedTuple):
    """
    The address of the leader's Docker API.

    Attributes:
        url: its address: ``tcp://``, ``https://`` (with TLS), ``unix://`` or ``ssh://``.
        source: what named it, for messages.
        tls: the TLS context, or None.
    """

    url: str
    source: str
    tls: ssl.SSLContext | None = None

    @property
    def shown(self) -> str:
        """The address without a password that may be in it."""
        parts = urlsplit(self.url)
        if parts.password is None:
            return self.url
        return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")).geturl()

    @property
    def is_open(self) -> bool:
        """True if anyone who can reach it may use it: plain TCP, from other hosts too."""
        parts = urlsplit(self.url)
        return parts.scheme in ("tcp", "http") and not is_loopback(parts.hostname or "")

    @property
    def safer(self) -> str:
        """Advice on addresses to use in place of an open one."""
        return f"LEADER_URL=ssh://USER@{urlsplit(self.url).hostname}, or TLS, or aioparcs run --on swarm on a manager"


def find_leader(url: str | None = None) -> DockerEndpoint:
    """
    Return the leader's address; nothing is connected.

    TLS material comes from the variables ``DOCKER_TLS_VERIFY`` and ``DOCKER_CERT_PATH``, or the Docker context's own.

    Raises:
        SettingError: the address, the context or the TLS material can't be used; the message says what named it.
    """
    if url:
        return _from_address(url, "the program")
    if named := os.environ.get("LEADER_URL"):
        return _from_address(named, "LEADER_URL")
    if named := os.environ.get("DOCKER_HOST"):
        return _from_address(named, "DOCKER_HOST")
    return _from_context(os.environ.get("DOCKER_CONTEXT"))


@asynccontextmanager
async def open_docker(url: str | DockerEndpoint | None = None) -> AsyncIterator[aiodocker.Docker]:
    """
    Open a client of the leader's Docker API, and close it when the block is left.

    The leader has answered once when the block begins. What Docker refuses, and connections that fail or are lost,
    leave the block as `ClusterError`; inside it they are aiodocker's and aiohttp's own. A request has 60 seconds;
    requests that stream need a timeout of their own.

    Args:
        url: the leader, or its address; None for the one in ``LEADER_URL``, or else Docker's own.

    Raises:
        ClusterError: the leader can't be reached, or refused a request.
        SettingError: its address makes no sense.
    """
    leader = url if isinstance(url, DockerEndpoint) else find_leader(url)
    if leader.url.startswith("ssh:") and not importlib.util.find_spec("asyncssh"):
        raise SettingError(f"{leader.shown} ({leader.source}) needs the package asyncssh: install aioparcs[ssh]")
    async with _client(leader) as docker:
        with cluster_errors(leader):
            await docker.version()
        try:
            yield docker
        except (aiodocker.DockerError, aiohttp.ClientError) as error:
            raise to_cluster_error(leader, error) from error


@asynccontextmanager
async def _client(leader: DockerEndpoint) -> AsyncIterator[aiodocker.Docker]:
    try:
        # Always with its address: aiodocker's own search puts the current context before DOCKER_HOST.
        if leader.url.startswith("ssh:"):
            from aioparcs.swarm.docker.ssh import Tunnels  # of an extra

            tunnels: Tunnels | None = Tunnels(leader.url)
            docker = aiodocker.Docker("unix://localhost", tunnels, timeout=REQUEST)
        else:
            tunnels, docker = None, aiodocker.Docker(leader.url, ssl_context=leader.tls, timeout=REQUEST)
    except (aiodocker.DockerError, ValueError) as error:  # an ssh:// address, without known hosts
        raise to_cluster_error(leader, error) from error
    try:
        async with docker:
            yield docker
    finally:
        if tunnels:
            await tunnels.close()


@contextmanager
def cluster_errors(leader: DockerEndpoint, *, absent: bool = False) -> Iterator[None]:
    """Raise errors of the block as `ClusterError`; with ``absent``, ignore that a thing is not there."""
    try:
        yield
    except (aiodocker.DockerError, aiohttp.ClientError, TimeoutError) as error:
        if absent and getattr(error, "status", None) == 404:
            return
        raise to_cluster_error(leader, error) from error


def to_cluster_error(leader: DockerEndpoint, error: Exception) -> ClusterError:
    """Return the error for an exception of aiodocker or aiohttp: the address, Docker's message, and advice."""
    status = getattr(error, "status", UNREACHABLE)
    if isinstance(error, TimeoutError):
        return ClusterError(leader.shown, f"no answer: {error}" if str(error) else "no answer", _advice(leader))
    if status == UNREACHABLE or not isinstance(error, aiodocker.DockerError):
        return ClusterError(leader.shown, f"can't be reached: {_bare(error)}", _advice(leader))
    if status == 503 and "swarm manager" in error.message:
        return ClusterError(leader.shown, error.message.strip(), "name a manager of the Swarm in LEADER_URL")
    return ClusterError(leader.shown, error.message.strip())


def status_of(error: ClusterError) -> int:
    """Return the HTTP status of a refused request, `UNREACHABLE` if none was answered, 0 for an error without one."""
    return int(getattr(error.__cause__, "status", UNREACHABLE)) if error.__cause__ else 0


def _from_address(url: str, source: str) -> DockerEndpoint:
    url = url.strip()
    scheme, separator, rest = url.partition("://")
    if not separator or not rest or scheme not in _SCHEMES:
        raise SettingError(
            f"{url!r} ({source}) is not an address of Docker; one is tcp://HOST:PORT, unix:///PATH or ssh://USER@HOST"
        )
    verify = os.environ.get("DOCKER_TLS_VERIFY")
    if scheme in ("unix", "ssh") or not verify:
        return DockerEndpoint(url, source)
    folder = Path(os.environ.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
    tls = _tls(source, folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    return DockerEndpoint(f"https://{rest}", source, tls)


def _from_context(name: str | None) -> DockerEndpoint:
    if name in (None, "", "default") and not is_configured():
        return DockerEndpoint(LOCAL, "the Docker context 'default'")
    # The docker package takes longer to load than all the rest; where an address is named, it is not needed.
    from docker.context import ContextAPI
    from docker.utils.config import find_config_file

    if name and name != "default" and not find_config_file():
        # Without one the docker package would look for contexts in the current folder, which may be another user's.
        folder = os.environ.get("DOCKER_CONFIG") or "~/.docker"
        raise SettingError(f"the Docker context {name!r} needs a file {folder}/config.json: write {{}} into it")
    try:
        context = ContextAPI.get_context(name)
        source = f"the Docker context {context.Name!r}" if context else ""
        host, material = (context.Host, context.TLSConfig) if context else (None, None)
    except Exception as error:  # the docker package raises what it meets: KeyError, OSError, Exception itself
        raise SettingError(f"the Docker context {name or ''!r} can't be read: {error}") from error
    if not context:
        raise SettingError(f"there is no Docker context {name or 'of that name'!r}; `docker context ls` lists them")
    url = str(host or LOCAL)
    scheme, _, rest = url.partition("://")
    if material is None or scheme not in ("tcp", "http", "https"):
        return DockerEndpoint(url, source)
    authority, (certificate, key) = str(material.ca_cert), material.cert or ("", "")
    tls = _tls(source, Path(authority), Path(certificate), Path(key), verify=bool(material.verify))
    return DockerEndpoint(f"https://{rest}", source, tls)


def _tls(source: str, authority: Path, certificate: Path, key: Path, *, verify: bool = True) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=os.fspath(authority))
        context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        raise SettingError(
            f"the certificates for {source} in {authority.parent} can't be used ({error}); "
            "they are ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH, or the Docker context's"
        ) from error
    # Python 3.13 refuses what Docker itself takes, such as an authority made as its manual says, without a key usage.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def is_loopback(host: str) -> bool:
    """Return whether a name or address is of the loopback interface: on another host it means that host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bare(error: Exception) -> str:
    """Return why a connection failed, without the address, which the message has already."""
    cause = error.__context__ if isinstance(error, aiodocker.DockerError) else error
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        return str(cause.certificate_error)
    if isinstance(cause, aiohttp.ClientConnectorError) and cause.os_error.errno:
        number = cause.os_error.errno
        return os.strerror(number) if number > 0 else str(cause.os_error.strerror)  # below 0: it has no such host
    return str(cause or error) or type(error).__name__


def _advice(leader: DockerEndpoint) -> str:
    if leader.url == LOCAL and leader.source != "LEADER_URL":
        return "start Docker here, or name the Swarm's leader: LEADER_URL=tcp://HOST:PORT, or ssh://USER@HOST"
    return f"the address comes from {leader.source}; is Docker running there and listening on that address?"
