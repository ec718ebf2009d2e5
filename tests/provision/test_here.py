"""The user's machine: credentials for a registry as Docker keeps them, and the Docker context."""

import json
import os
from pathlib import Path

import pytest

from aioparcs.errors import SettingError
from aioparcs.provision.here import context_of, context_url, create_context, forget
from aioparcs.provision.ssh import HostError
from aioparcs.swarm.docker.credentials import configuration, has_credentials, keep_credentials
from aioparcs.swarm.docker.endpoint import find_leader

_REGISTRY = "10.0.0.1:5000"
# Docker's own protocol for credential helpers: what is stored is on standard input, and its name for `erase`.
_HELPER = """#!/bin/sh
case $1 in
store) cat > "$STORE" ;;
get) cat "$STORE" ;;
erase) cat > /dev/null; rm "$STORE" ;;
list) echo '{}' ;;
esac
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DOCKER_CONFIG", "DOCKER_HOST", "LEADER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_credentials_are_kept_beside_others_and_forgotten(home: Path) -> None:
    assert not has_credentials(_REGISTRY)
    keep_credentials(_REGISTRY, "aioparcs", "first")
    file = home / ".docker/config.json"
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text(json.dumps(json.loads(file.read_text()) | {"proxies": {}, "auths": {"other": {"auth": "eDp5"}}}))
    keep_credentials(_REGISTRY, "aioparcs", "second")
    assert has_credentials(_REGISTRY)
    assert set(json.loads(configuration([f"{_REGISTRY}/x"]))["auths"]) == {_REGISTRY}
    forget("", _REGISTRY)
    assert not has_credentials(_REGISTRY)
    assert json.loads(file.read_text()) == {"proxies": {}, "auths": {"other": {"auth": "eDp5"}}}
    assert os.listdir(home / ".docker") == ["config.json"]
    file.write_text("{")
    with pytest.raises(SettingError, match="credentials in Docker's configuration can't be used"):
        keep_credentials(_REGISTRY, "aioparcs", "third")


def test_a_credential_helper_keeps_them_where_there_is_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = home / "docker-credential-test"
    helper.write_text(_HELPER)
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")
    monkeypatch.setenv("STORE", str(home / "store"))
    (home / ".docker").mkdir()
    (home / ".docker/config.json").write_text('{"credsStore": "test"}')
    keep_credentials(_REGISTRY, "aioparcs", "secret")
    kept = {"ServerURL": _REGISTRY, "Username": "aioparcs", "Secret": "secret"}
    assert json.loads((home / "store").read_text()) == kept
    assert "secret" not in (home / ".docker/config.json").read_text()
    forget("", _REGISTRY)
    assert not (home / "store").exists()


def test_the_context_names_the_leader_and_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    assert context_url("aioparcs") == context_of(["ssh://ada@node1"]) == ""
    create_context("aioparcs", "ssh://ada@node1")
    assert find_leader().url == "unix:///var/run/docker.sock"
    monkeypatch.setenv("DOCKER_CONTEXT", "aioparcs")
    assert find_leader().url == context_url("aioparcs") == "ssh://ada@node1"
    assert context_of(["ssh://eve@node1", "ssh://ada@node1"]) == "aioparcs"
    assert context_of(["ssh://eve@node1"]) == ""
    with pytest.raises(HostError, match=r"is a Docker context aioparcs already, for ssh://ada@node1; .*--context"):
        create_context("aioparcs", "ssh://ada@node2")
    forget("aioparcs", "")
    forget("aioparcs", "")
    assert context_url("aioparcs") == ""
