"""Logging in to hosts whose keys are known, new or changed: a real server of ssh on this machine."""

import asyncio
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from aioparcs.provision.plans.hosts import Host
from aioparcs.provision.ssh import HostError, log_in
from aioparcs.provision.survey import open_survey
from aioparcs.provision.up import unknown_keys

pytestmark = [pytest.mark.one_loop]


class Server(asyncssh.SSHServer):
    """Lets everyone in who has a key, and notes which connection was lost last."""

    lost: asyncio.Event

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        Server.lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        Server.lost.set()

    def begin_auth(self, username: str) -> bool:
        return True


@pytest.fixture
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Host]:
    """Start a server, and return the host with the key of a user here, who knows no host."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    own = asyncssh.generate_private_key("ssh-ed25519")
    own.write_private_key(tmp_path / "key")
    own.write_public_key(tmp_path / "allowed")
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[asyncssh.generate_private_key(kind) for kind in ("ssh-rsa", "ssh-ed25519")],
        authorized_client_keys=str(tmp_path / "allowed"), server_factory=Server,
    )  # fmt: skip
    async with server:
        yield Host("localhost", "ada", server.get_port(), str(tmp_path / "key"))


async def test_a_new_key_is_recorded_once_and_known_from_then_on(host: Host, tmp_path: Path) -> None:
    known = tmp_path / ".ssh" / "known_hosts"
    with pytest.raises(HostError, match=r"not the one in known_hosts, or not there; if it is new: --accept-new"):
        async with log_in(host):
            pass
    assert not known.exists()
    async with log_in(host, accept_new=True) as remote:
        assert remote.accepted.startswith("SHA256:")
    assert known.stat().st_mode & 0o777 == 0o600
    (line,) = known.read_text().splitlines()
    assert line.startswith(f"[localhost]:{host.port} ssh-ed25519 ")
    async with log_in(host) as remote:
        assert not remote.accepted
    async with log_in(host, accept_new=True) as remote:
        assert not remote.accepted
    assert known.read_text() == f"{line}\n"


@pytest.mark.parametrize("in_files_of_ssh", [False, True])
async def test_a_changed_key_is_refused_and_stays_as_it_was(host: Host, tmp_path: Path, in_files_of_ssh: bool) -> None:
    (tmp_path / ".ssh").mkdir()
    known = tmp_path / ".ssh" / ("known_elsewhere" if in_files_of_ssh else "known_hosts")
    if in_files_of_ssh:
        (tmp_path / ".ssh" / "config").write_text(f"Host *\n  UserKnownHostsFile {known}\n")
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    known.write_text(f"[localhost]:{host.port} {other}")
    with pytest.raises(HostError, match=r"for \[lo.*; if it was reinstalled: ssh-keygen -R '\[lo"):
        async with log_in(host, accept_new=True):
            pass
    assert known.read_text() == f"[localhost]:{host.port} {other}"


async def test_the_key_of_a_host_that_lets_no_one_in_is_not_recorded(host: Host, tmp_path: Path) -> None:
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(tmp_path / "key")
    with pytest.raises(HostError, match="sshd does not let ada in"):
        async with log_in(host, accept_new=True):
            pass
    assert not (tmp_path / ".ssh").exists()


async def test_a_key_that_can_not_be_recorded_is_an_error_of_its_own(host: Host, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").symlink_to(tmp_path / "nothing" / "known_hosts")
    with pytest.raises(HostError, match=r"its new host key can't be recorded in .*known_hosts: No such file or dir"):
        async with log_in(host, accept_new=True):
            pass
    async with asyncio.timeout(10):
        await Server.lost.wait()


@pytest.mark.parametrize("accept_new", [False, True])
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[127.0.0.1]:{port}"])
async def test_the_entries_that_differ_are_named(host: Host, tmp_path: Path, name: str, accept_new: bool) -> None:
    name = name.format(port=host.port)
    (tmp_path / ".ssh").mkdir()
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    (tmp_path / ".ssh" / "known_hosts").write_text(f"{name} {other}")
    with pytest.raises(HostError) as raised:
        async with log_in(host, accept_new=accept_new):
            pass
    assert raised.value.reason == f"its host key is not the one in known_hosts for {name}"
    assert f"ssh-keygen -R {shlex.quote(name)}, and compare" in raised.value.advice


async def test_keys_of_all_managers_must_be_known_to_ssh(host: Host) -> None:
    managers = [host, host._replace(name="127.0.0.1")]
    for manager in managers:
        async with log_in(manager, accept_new=True):
            pass
    problems = await unknown_keys([*managers, host._replace(key="")])
    assert [problem.host for problem in problems] == ["localhost", "127.0.0.1"]
    assert all(problem.text.endswith(f"and {host.key} is none of them") for problem in problems)


async def test_another_failure_of_the_login_says_nothing_of_keys(host: Host) -> None:
    (problem,) = await unknown_keys([host])
    assert problem.text == "its host key is not the one in known_hosts, or not there"


async def test_a_key_that_was_recorded_is_reported_even_if_the_look_fails(host: Host) -> None:
    accepted: list[str] = []
    async with open_survey([host], lambda name, fingerprint: accepted.append(f"{name} {fingerprint[:7]}")) as survey:
        assert [problem.host for problem in survey.problems] == ["localhost"]  # the server runs no commands
    assert accepted == ["localhost SHA256:"]
