"""The address of the leader, and the errors when it can't be reached."""

import asyncio
import json
import socket
import ssl
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from aioparcs import ClusterError, SettingError, StartError
from aioparcs.swarm import open_docker
from aioparcs.swarm.docker.endpoint import LOCAL, find_leader
from aioparcs.swarm.engine.images import Images

VARIABLES = ("LEADER_URL", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
Context = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text("{}")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """Return a function that creates a Docker context as ``docker context create`` does."""

    def make(name: str, host: str) -> Path:
        identity = sha256(name.encode()).hexdigest()
        meta = tmp_path / "contexts" / "meta" / identity
        meta.mkdir(parents=True)
        endpoint = {"Host": host, "SkipTLSVerify": False}
        (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}))
        return tmp_path / "contexts" / "tls" / identity / "docker"

    return make


def certify(folder: Path) -> Path:
    """Put a certificate into a folder, under the three names that Docker uses."""
    folder.mkdir(parents=True, exist_ok=True)
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names: list[str | Path] = ["-subj", "/CN=leader", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run([*make, *names], check=True, capture_output=True)
    (folder / "ca.pem").write_bytes((folder / "cert.pem").read_bytes())
    return folder


def test_leader_url_precedes_dockers_own_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, context: Context
) -> None:
    context("lab", "ssh://root@lab")
    context("home", "tcp://home:2375")
    assert find_leader().url == LOCAL
    (tmp_path / "config.json").write_text('{"currentContext": "home"}')
    assert find_leader()[:2] == ("tcp://home:2375", "the Docker context 'home'")
    monkeypatch.setenv("DOCKER_CONTEXT", "lab")
    assert find_leader().url == "ssh://root@lab"
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/other.sock")
    assert find_leader()[:2] == ("unix:///run/other.sock", "DOCKER_HOST")
    monkeypatch.setenv("LEADER_URL", "tcp://10.138.0.6:4321")
    assert find_leader() == ("tcp://10.138.0.6:4321", "LEADER_URL", None)
    assert find_leader("tcp://10.0.0.1:4321").url == "tcp://10.0.0.1:4321"


def test_tls_comes_from_dockers_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "yes")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(certify(tmp_path / "certificates")))
    leader = find_leader("tcp://10.0.0.1:2376")
    assert leader.url == "https://10.0.0.1:2376"
    assert leader.tls is not None
    assert leader.tls.verify_mode is ssl.CERT_REQUIRED
    assert find_leader("unix:///run/docker.sock").tls is None


def test_tls_comes_from_the_context(monkeypatch: pytest.MonkeyPatch, context: Context) -> None:
    certify(context("lab", "tcp://lab:2376"))
    monkeypatch.setenv("DOCKER_CONTEXT", "lab")
    leader = find_leader()
    assert leader.url == "https://lab:2376"
    assert leader.tls is not None
    assert leader.tls.check_hostname


@pytest.mark.parametrize(
    "variables, message",
    [
        (
            {"LEADER_URL": "10.0.0.1:4321"},
            r"'10.0.0.1:4321' \(LEADER_URL\) is not an address of Docker; one is tcp://HOST:PORT",
        ),
        ({"DOCKER_HOST": "tcp://"}, r"'tcp://' \(DOCKER_HOST\) is not an address"),
        ({"DOCKER_CONTEXT": "nowhere"}, "there is no Docker context 'nowhere'; `docker context ls`"),
        (
            {"LEADER_URL": "tcp://h:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/nowhere"},
            "/nowhere can't be used",
        ),
    ],
)
def test_a_value_that_names_no_leader_is_an_error(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=message):
        find_leader()


def test_a_broken_docker_context_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, context: Context) -> None:
    context("lab", "tcp://lab:2376")
    next((tmp_path / "contexts" / "meta").glob("*/meta.json")).write_text("{")
    monkeypatch.setenv("DOCKER_CONTEXT", "lab")
    with pytest.raises(SettingError, match="the Docker context 'lab' can't be read"):
        find_leader()


@pytest.mark.slow
def test_no_context_is_read_from_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, context: Context
) -> None:
    context("lab", "tcp://lab:2376")
    (tmp_path / "config.json").unlink()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONTEXT", "lab")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingError, match=rf"the Docker context 'lab' needs a file {tmp_path}/config.json"):
        find_leader()


async def refused(url: str) -> str:
    with pytest.raises(ClusterError) as caught:
        async with asyncio.timeout(20), open_docker(url):
            pass
    return str(caught.value)


async def test_a_leader_that_does_not_listen_is_an_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        assert (await refused(url)).startswith(f"Docker at {url}: can't be reached: Connection refused; ")


async def test_no_socket(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/no.sock"
    assert (await refused(url)).startswith(f"Docker at {url}: can't be reached: No such file or directory; ")


async def test_a_server_that_is_not_docker_is_an_error() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        assert f"Docker at tcp://{host}:{port}: can't be reached: " in await refused(f"tcp://{host}:{port}")


async def test_a_password_is_not_shown() -> None:
    text = await refused("ssh://ada:secret@localhost")  # no server is there, or its key isn't known
    assert "Docker at ssh://ada:***@localhost: " in text
    assert "secret" not in text


@pytest.mark.parametrize("folder", ["", "/" + "x" * 256])
def test_a_name_that_no_folder_can_have_is_no_module(tmp_path: Path, folder: str) -> None:
    leader: Any = None  # it is not asked
    with pytest.raises(StartError, match="there is no module of that name"):
        asyncio.run(Images(leader, [tmp_path]).find("x" * 256, folder))
