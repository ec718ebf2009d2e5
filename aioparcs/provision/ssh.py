"""Hosts over ssh: logging in there, running the shell's commands and our programs. Needs the extra ``ssh``."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, NamedTuple

import asyncssh

from aioparcs.errors import ClusterError
from aioparcs.provision.known_hosts import NewKey
from aioparcs.provision.plans.hosts import Host

__all__ = ["Answer", "HostError", "NotLetIn", "Remote", "log_in"]

_CONNECT, _LOGIN = 10, 20  # seconds
_ALIVE, _MISSED = 5, 3  # seconds between signs of life; after so many that were missed the host is lost
_QUOTED = 1500  # characters of a failed command's output that its error quotes
_NOT_FOUND = 127  # the shell's exit code
_PROGRAMS = {"facts": "a look at it", "docker": "a request to its Docker", "ports": "the check of its ports"}


class HostError(ClusterError):
    """
    A host can't be logged in to, or a step on it has failed.

    Attributes:
        url: the host, as the user names it.
        reason: what happened.
        advice: what to do about it, or "".
    """

    def __str__(self) -> str:
        return f"{self.url}: {self.reason}{f'; {self.advice}' if self.advice else ''}"


class NotLetIn(HostError):
    """A host is there, and accepts no key of the user."""


class Answer(NamedTuple):
    """
    What a host's Docker has answered.

    Attributes:
        status: the status of HTTP; 0 if it does not run.
        body: its JSON.
    """

    status: int
    body: Any


class Remote:
    """
    A host that is logged in to.

    Every method raises `HostError` when the host is lost meanwhile.

    Args:
        host: the host.
        connection: the open connection.

    Attributes:
        host: the host.
        user: who has logged in.
        accepted: the fingerprint of its key if that was new and has been accepted, else "".
    """

    def __init__(self, host: Host, connection: asyncssh.SSHClientConnection, accepted: str = "") -> None:
        self.host = host
        self.accepted = accepted
        self.user = str(connection.get_extra_info("username"))
        self._connection = connection

    @property
    def url(self) -> str:
        """The address of its Docker, for managers."""
        return f"ssh://{self.user}@{self.host.name}{f':{self.host.port}' if self.host.port else ''}"

    async def run(self, command: str, *, timeout: float, what: str) -> str:
        """
        Run a command of the shell as root, and return what it has printed.

        Args:
            command: the command.
            timeout: seconds that it has.
            what: what it does, for the error.

        Raises:
            HostError: it has failed.
        """
        return await self._run(self._as_root(f"sh -c {shlex.quote(command)}"), "", timeout, what)

    async def write(self, path: str, text: str, mode: str) -> None:
        """Write a file as root, with a mode as ``chmod`` has it; its text is in no command line."""
        folder, new = shlex.quote(path.rpartition("/")[0]), shlex.quote(f"{path}.new")
        command = f"mkdir -p {folder} && umask 077 && cat > {new} && chmod {mode} {new} && mv {new} {shlex.quote(path)}"
        await self._run(self._as_root(f"sh -c {shlex.quote(command)}"), text, 30, f"writing {path}")

    async def read(self, path: str) -> str:
        """Return the text of a file that root can read."""
        return await self.run(f"cat {shlex.quote(path)}", timeout=30, what=f"reading {path}")

    async def program(self, name: str, given: Any = None, *, root: bool = False, timeout: float = 60) -> Any:
        """
        Run one of the programs of `aioparcs.provision.programs`, and return what it prints as JSON.

        Args:
            name: its module.
            given: what it reads, as JSON.
            root: run it as root.
            timeout: seconds that it has.

        Raises:
            HostError: it has failed, or there is no Python.
        """
        command = _python(name)
        text = await self._run(self._as_root(command) if root else command, json.dumps(given), timeout, _PROGRAMS[name])
        return json.loads(text)

    async def docker(self, *requests: tuple[str, str, Any], wait: float = 0) -> list[Answer]:
        """
        Send requests to the host's Docker, one after another, and return its answers.

        Args:
            requests: method, path and body of each.
            wait: seconds that Docker may take until it listens.
        """
        answers = await self.program("docker", {"requests": requests, "wait": wait}, root=True, timeout=wait + 150)
        return [Answer(**answer) for answer in answers]

    async def change(self, method: str, path: str, body: Any, what: str) -> Any:
        """
        Send a request that changes something, and return the body of its answer.

        Raises:
            HostError: Docker refuses; `what` names the request.
        """
        (answer,) = await self.docker((method, path, body))
        if not 200 <= answer.status < 300:
            raise HostError(self.host.name, f"{what} has failed: {(answer.body or {}).get('message', answer.status)}")
        return answer.body

    @asynccontextmanager
    async def talk(self, name: str) -> AsyncIterator[asyncssh.SSHClientProcess[str]]:
        """Start one of our programs, for a conversation over its standard input and output; end it with the block."""
        async with self._errors(_PROGRAMS[name]):
            process = await self._connection.create_process(_python(name))
            try:
                yield process
            finally:
                process.close()
                await process.wait_closed()

    def _as_root(self, command: str) -> str:
        return command if self.user == "root" else f"sudo -n {command}"

    async def _run(self, command: str, given: str, timeout: float, what: str) -> str:
        async with self._errors(what):
            async with asyncio.timeout(timeout):
                done = await self._connection.run(command, input=given)
        if done.returncode is None:
            raise self._lost(what, "no answer")
        if done.returncode == _NOT_FOUND and "python3" in command:
            raise HostError(
                self.host.name, "has no python3", "install it: apt-get install python3, dnf install python3"
            )
        if done.returncode:
            raise HostError(self.host.name, f"{what} has failed: {_last(done)}")
        return str(done.stdout)

    @asynccontextmanager
    async def _errors(self, what: str) -> AsyncIterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise HostError(self.host.name, f"{what} has not ended in time", "see what it is busy with") from error
        except (asyncssh.Error, OSError) as error:
            raise self._lost(what, _reason(error)) from error

    def _lost(self, what: str, reason: str) -> HostError:
        return HostError(self.host.name, f"the connection was lost during {what}: {reason}", "see whether it is up")


@asynccontextmanager
async def log_in(host: Host, *, accept_new: bool = False) -> AsyncIterator[Remote]:
    """
    Log in to a host with the keys, agent and known hosts of ssh; log out when the block is left.

    Args:
        host: the host.
        accept_new: accept the key of a host that has none in known_hosts, and record it there.

    Raises:
        HostError: it can't be reached, is not known, or its key can't be recorded.
        NotLetIn: it does not let the user in.
    """
    given: dict[str, Any] = {
        name: value
        for name, value in (("port", host.port), ("username", host.user), ("client_keys", host.key))
        if value
    }
    client = None
    try:
        client = _client(host, given, accept_new=accept_new)
        given["client_factory"] = lambda: client
        if accept_new:
            given["known_hosts"] = client.known
            if not client.names(host.name, host.port):  # asyncssh would ask for an RSA key first
                given["server_host_key_algs"] = "^ssh-ed25519"
        connection = await asyncssh.connect(
            host.name, connect_timeout=_CONNECT, login_timeout=_LOGIN, keepalive_interval=_ALIVE,
            keepalive_count_max=_MISSED, **given,
        )  # fmt: skip
    except (asyncssh.Error, OSError, ValueError) as error:  # ValueError: a key or a file that can't be read
        raise _refused(host, error, client.known_as if client else []) from error
    async with connection:
        _record(host, client)
        yield Remote(host, connection, client.accepted)


def _record(host: Host, client: NewKey) -> None:
    try:
        if client.accepted:
            client.record()
    except OSError as error:
        reason = f"its new host key can't be recorded in {client.file}: {_reason(error)}"
        raise HostError(host.name, reason, "make it a file that you may write") from error


def _client(host: Host, given: dict[str, Any], *, accept_new: bool) -> NewKey:
    """Return a client that looks for the host's key in the files that ssh's configuration names."""
    options = asyncssh.SSHClientConnectionOptions(host=host.name, config=(), **given)  # (): the user's
    files = options.known_hosts  # none if ssh's configuration names none
    return NewKey([str(file) for file in files] if isinstance(files, list) else [], accept_new=accept_new)


def _refused(host: Host, error: Exception, known_as: list[str]) -> HostError:
    port = f" -p {host.port}" if host.port else ""
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return _unverified(host, port, known_as)
    if isinstance(error, asyncssh.PermissionDenied):
        user = f"{host.user}@" if host.user else ""
        advice = (
            f"ssh-copy-id{port} {user}{host.name}; or name another user, --user, or key, IdentityFile in ~/.ssh/config"
        )
        return NotLetIn(host.name, f"sshd does not let {host.user or 'you'} in: no key is accepted", advice)
    return HostError(host.name, f"can't be reached by ssh: {_reason(error)}", "is it up, and is its port of sshd open?")


def _unverified(host: Host, port: str, known_as: list[str]) -> HostError:
    if known_as:
        remove = " and ".join(f"ssh-keygen -R {shlex.quote(name)}" for name in known_as)
        advice = f"if it was reinstalled: {remove}, and compare the fingerprint; else do not log in there"
        return HostError(host.name, f"its host key is not the one in known_hosts for {', '.join(known_as)}", advice)
    advice = (
        f"if it is new: --accept-new, or ssh-keyscan{port} -H {host.name} >> ~/.ssh/known_hosts, and compare the "
        "fingerprint with the cloud's"
    )
    return HostError(host.name, "its host key is not the one in known_hosts, or not there", advice)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)  # asyncio's own words repeat the address
    return str(getattr(error, "reason", "") or getattr(error, "strerror", "") or error) or type(error).__name__


def _python(name: str) -> str:
    program = (files("aioparcs.provision.programs") / f"{name}.py").read_text()
    return f"python3 -c {shlex.quote(program)}"


def _last(done: asyncssh.SSHCompletedProcess) -> str:
    """Return the end of what a command has said, else its exit code."""
    for text in (done.stderr, done.stdout):
        if text and (output := str(text).strip()):
            return output[-_QUOTED:]
    return f"exit code {done.returncode}"
