"""The keys of a cluster's registry, with a real registry."""

import base64
import os
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from aioparcs.provision.registry import USER, Keys, make_keys, secret_specs, service_spec
from tests.cluster import obstacle, packages
from tests.cluster.command import until


def _status(port: int, keys: Keys, password: str | None) -> int:
    context = ssl.create_default_context(cadata=keys.certificate)
    request = urllib.request.Request(f"https://127.0.0.1:{port}/v2/")
    if password is not None:
        request.add_header("Authorization", f"Basic {base64.b64encode(f'{USER}:{password}'.encode()).decode()}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@contextmanager
def _registry(folder: Path, keys: Keys) -> Iterator[int]:
    """Run a registry with the variables and files that its Swarm service has."""
    specs = secret_specs(keys)
    container = service_spec("127.0.0.1:5000", "node", {spec["Name"]: "id" for spec in specs})["TaskTemplate"]
    files = [secret["File"]["Name"] for secret in container["ContainerSpec"]["Secrets"]]
    for spec, name in zip(specs, files, strict=True):
        assert spec["Labels"] == {"io.aioparcs.registry": name}
        (folder / name).write_bytes(base64.b64decode(spec["Data"]))
    (folder / "config.yml").write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/images}}}}\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = [text.replace("/run/secrets", str(folder)) for text in container["ContainerSpec"]["Env"]]
    variables = dict(text.split("=", 1) for text in given) | {"REGISTRY_HTTP_ADDR": f"127.0.0.1:{port}"}
    command = ["docker-registry", "serve", str(folder / "config.yml")]
    with (folder / "log").open("w") as log:
        with subprocess.Popen(command, env={**os.environ, **variables}, stdout=log, stderr=log) as process:
            try:
                until(lambda: "listening on" in (folder / "log").read_text(), 60, (folder / "log").read_text)
                yield port
            finally:
                process.kill()


@pytest.mark.slow
@pytest.mark.skipif(bool(obstacle()), reason=f"no registry to test with: {obstacle()}")
def test_a_registry_lets_in_only_who_knows_the_password_and_proves_who_it_is(tmp_path: Path) -> None:
    packages.provide(tmp_path, {"docker-registry": "docker-registry"})
    keys = make_keys(IPv4Address("127.0.0.1"))
    with _registry(tmp_path, keys) as port:
        assert _status(port, keys, keys.password) == 200
        assert _status(port, keys, "wrong") == 401
        assert _status(port, keys, None) == 401
        with pytest.raises(urllib.error.URLError, match="self-signed"):
            _status(port, make_keys(IPv4Address("127.0.0.1")), keys.password)
        with pytest.raises(urllib.error.URLError, match=r"IP address mismatch"):
            with _registry(tmp_path, elsewhere := make_keys(IPv4Address("127.0.0.2"))) as other:
                _status(other, elsewhere, elsewhere.password)
