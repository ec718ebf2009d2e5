"""Private images, from a registry that wants a password: built, pushed, run and pulled by every node."""

import base64
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import bcrypt
import pytest

from aioparcs import SettingError
from aioparcs.swarm.docker.credentials import configuration
from tests.cluster import image
from tests.cluster.cluster import Cluster as OwnCluster
from tests.cluster.command import execute, until
from tests.support.command import COMMAND
from tests.support.command import execute as run
from tests.support.jobs import MODULES, module
from tests.support.live import Cluster, ask, left
from tests.support.submitted import containers, own, submitted

PASSWORD = "correct-horse-battery"
CONFIGURATION = """
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{folder}/storage"}}}}
http: {{addr: "{address}", tls: {{certificate: "{folder}/cert.pem", key: "{folder}/key.pem"}}}}
auth: {{htpasswd: {{realm: images, path: "{folder}/passwords"}}}}
"""


class Private(NamedTuple):
    """
    A registry with a password.

    Attributes:
        address: host and port, as in images' names.
        configuration: the folder for ``DOCKER_CONFIG`` of who may use it.
    """

    address: str
    configuration: Path


def answers(address: str) -> bool:
    try:
        socket.create_connection(tuple(address.split(":")), 1).close()  # type: ignore[arg-type]
    except OSError:
        return False
    return True


@contextmanager
def trusted(address: str, certificate: Path) -> Iterator[None]:
    """Add a registry's certificate to the nodes' Dockers, as an administrator does: they read it at every pull."""
    folder = Path("/etc/docker/certs.d") / address
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True)
    try:
        shutil.copy(certificate, folder / "ca.crt")
        yield
    finally:
        (folder / "ca.crt").unlink()
        for path in made:
            path.rmdir()


def add_base(here: OwnCluster, storage: Path, *names: str) -> None:
    """Put the layers of the base image below the images of these names, so that only their own have to be pushed."""
    tree = Path("docker/registry/v2")
    layers = here.registry.storage / tree / "repositories" / image.NAME / "_layers"
    for name in names:
        shutil.copytree(layers, storage / tree / "repositories" / name / "_layers")
    for layer in (layers / "sha256").iterdir():
        blob = tree / "blobs/sha256" / layer.name[:2] / layer.name
        if (here.registry.storage / blob).exists():  # not one of an older base image
            shutil.copytree(here.registry.storage / blob, storage / blob)


@pytest.fixture(scope="module")
def private(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Private]:
    """Run a registry of this machine that every node's Docker trusts, and that wants a password."""
    own(cluster)
    here = OwnCluster.here()
    assert here
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as free:
        free.bind((here.machine, 0))
        address = f"{here.machine}:{free.getsockname()[1]}"
    names = ("-subj", "/CN=registry", "-addext", f"subjectAltName=IP:{here.machine}")
    keys = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", folder / "key.pem")
    execute("openssl", "req", "-x509", *keys, *names, "-out", folder / "cert.pem")
    (folder / "passwords").write_bytes(b"ada:" + bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)) + b"\n")
    add_base(here, folder / "storage", "talker", "secretive")
    (folder / "registry.yml").write_text(CONFIGURATION.format(folder=folder, address=address))
    entry = base64.b64encode(f"ada:{PASSWORD}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {address: {"auth": entry}}}))
    with (
        trusted(address, folder / "cert.pem"),
        subprocess.Popen(["docker-registry", "serve", folder / "registry.yml"], stderr=subprocess.DEVNULL) as process,
    ):
        try:
            until(lambda: answers(address), 60, "the registry does not answer")
            yield Private(address, folder)
        finally:
            process.terminate()
            process.wait(15)
            for node in here.nodes:
                form = "{{.Repository}} {{.Tag}} {{.Digest}}"
                listed = node.docker("image", "ls", "--digests", "--filter", f"reference={address}/*", "--format", form)
                # By name: under another one containers of other tests may run the same image.
                rows = map(str.split, listed.splitlines())
                images = {f"{name}@{digest}" if tag == "<none>" else f"{name}:{tag}" for name, tag, digest in rows}
                if images:
                    node.docker("image", "rm", "--force", *images)


RUNNER = """
import json
from aioparcs import run

async def main(runner):
    tasks = await runner.start_many("talker", 3)
    for task in tasks:
        await task.send(["echo", "here"])
    print(json.dumps([await task.recv() for task in tasks]), flush=True)
    await tasks[0].recv()

run(main)
"""


def test_a_job_of_private_images(cluster: Cluster, private: Private, tmp_path: Path) -> None:
    folder = module(tmp_path, "secretive", RUNNER) / "secretive"
    words = {"PARCS_REGISTRY": private.address, "DOCKER_CONFIG": str(private.configuration)}
    with submitted(cluster, folder, "", "--modules", str(MODULES), **words) as job:
        assert job.line() == ["here"] * 3
        assert len({worker.node for worker in containers(cluster, job.job)}) == 3, "every node has pulled"
        for worker in containers(cluster, job.job):
            assert worker.inspect("{{.Config.Image}}").startswith(f"{private.address}/talker@sha256:")
            assert worker.run("find", "/run/secrets/", "-type", "f").split() == ["/run/secrets/parcs_token"]
        (runner,) = containers(cluster, job.job, "runner")
        kept = json.loads(runner.run("cat", "/run/secrets/docker/config.json"))
        assert kept == json.loads((private.configuration / "config.json").read_text())
        entry = kept["auths"][private.address]["auth"]
        for service in ask(cluster, lambda swarm: swarm.services(job.job)):
            description = cluster.docker("service", "inspect", service["ID"])
            assert entry not in description
            assert PASSWORD not in description
        assert entry not in runner.inspect()
        names = cluster.docker("secret", "ls", "--format", "{{.Name}}").split()
        assert {f"parcs-{job.job}_token", f"parcs-{job.job}_registries"} <= set(names)
    assert left(cluster, job.job) == []


def test_without_the_password_there_is_no_image(cluster: Cluster, private: Private, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    words = {"PARCS_REGISTRY": private.address, "DOCKER_CONFIG": str(tmp_path), "LEADER_URL": cluster.leader_url}
    done = run([*COMMAND, "build", str(MODULES / "printer"), "--push"], None, **cluster.environment | words)
    assert done.returncode == 1
    assert "docker login" in done.stderr


# What is handed over


def configure(folder: Path, monkeypatch: pytest.MonkeyPatch, **content: object) -> None:
    (folder / "config.json").write_text(json.dumps(content))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))


ADA = {"auth": base64.b64encode(b"ada:with:colon").decode()}
HUB = "https://index.docker.io/v1/"


def test_only_credentials_for_the_images_registries_are_passed_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = {"identitytoken": "token"}
    auths = {"r:5000": ADA, "other:5000": ADA, HUB: ADA, "cloud.example": token}
    configure(tmp_path, monkeypatch, auths=auths, HttpHeaders={"X": "y"})
    assert json.loads(configuration(["r:5000/a/b@sha256:12", "r:5000/c:1"])) == {"auths": {"r:5000": ADA}}
    assert json.loads(configuration(["factor:1", "cloud.example/x"])) == {"auths": {HUB: ADA, "cloud.example": token}}
    assert configuration(["open:5000/a"]) == configuration([]) == ""


HELPER = """#!/bin/sh
read registry
case "$registry" in
    r:5000) echo '{"ServerURL": "r:5000", "Username": "ada", "Secret": "with:colon"}' ;;
    *) echo '{"ServerURL": "cloud.example", "Username": "<token>", "Secret": "token"}' ;;
esac
"""


def test_credentials_of_a_helper_are_written_into_the_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    helper = tmp_path / "docker-credential-tested"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    configure(tmp_path, monkeypatch, credHelpers={"r:5000": "tested", "cloud.example": "tested"})
    expected = {"r:5000": ADA, "cloud.example": {"identitytoken": "token"}}
    assert json.loads(configuration(["r:5000/a", "cloud.example/b"])) == {"auths": expected}


@pytest.mark.filterwarnings("ignore:docker-credential-missing:UserWarning")
def test_a_missing_credential_helper_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    configure(tmp_path, monkeypatch, credHelpers={"r:5000": "missing"})
    with pytest.raises(SettingError, match=r"credentials in Docker's configuration can't be used: .*run docker login"):
        configuration(["r:5000/a"])
