"""The test cluster itself, and the image that modules are built from."""

import json
import subprocess
import sys

import pytest

from aioparcs.settings import VERSION
from tests.cluster import Cluster as OwnCluster
from tests.cluster import namespaces, network, up
from tests.support.live import Cluster

TC = ("tc", "qdisc", "show", "dev", "eth0")
_ADDED = 60_000_000  # bytes that the image may have over its base


@pytest.fixture
def own(cluster: Cluster) -> OwnCluster:
    """Return the cluster with its nodes and folders."""
    found = OwnCluster.here()
    if not cluster.nodes or found is None:
        pytest.skip("the Swarm that the environment names is not the test cluster")
    return found


def _command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.cluster", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_up_changes_nothing_that_is_up(own: OwnCluster) -> None:
    before = [namespaces.first_process(node.namespace) for node in own.nodes]
    steps: list[str] = []
    assert up(len(own.nodes), steps.append) == own
    assert steps == []
    assert [namespaces.first_process(node.namespace) for node in own.nodes] == before


def test_status_names_the_nodes_and_what_to_set(own: OwnCluster) -> None:
    done = _command("status")
    assert done.returncode == 0
    assert f"export LEADER_URL={own.leader.url} PARCS_REGISTRY={own.registry.address}\n" in done.stdout
    status = json.loads(_command("status", "--json").stdout)
    assert [(node["name"], node["dockerd"], node["swarm"]) for node in status["nodes"]] == [
        (f"node{number}", "up", "ready") for number in range(1, len(own.nodes) + 1)
    ]


def test_the_cable_of_a_node_can_be_slowed_down_and_is_as_before(own: OwnCluster) -> None:
    def shapes() -> list[str]:
        there = subprocess.check_output(["tc", "-n", network.SWITCH, "qdisc", "show", "dev", node.name], text=True)
        return [there.split()[1], subprocess.check_output([*node.command, *TC], text=True).split()[1]]

    node = own.nodes[1]
    before = shapes()
    try:
        for rate in ("1gbit", "2gbit"):
            node.cap(rate)
            assert shapes() == ["tbf", "tbf"]
    finally:
        node.uncap()
    node.uncap()
    assert shapes() == before


def test_the_image_is_small(own: OwnCluster) -> None:
    own.leader.docker("pull", "--quiet", own.base)  # it is there only where the image was built just now
    sizes = [
        int(own.leader.docker("image", "inspect", "--format", "{{.Size}}", name)) for name in (own.image, own.base)
    ]
    assert sizes[0] - sizes[1] < _ADDED


def test_the_image_runs_modules_as_an_ordinary_user(cluster: Cluster) -> None:
    program = "import aioparcs, os, uvloop, sys; print(aioparcs.__version__, os.getuid(), os.getcwd())"
    assert cluster.docker("run", "--rm", cluster.base, "python", "-c", program).split() == [VERSION, "1000", "/parcs"]


def test_the_image_has_no_build_tools(cluster: Cluster) -> None:
    program = "import shutil, importlib.util; print(shutil.which('gcc'), importlib.util.find_spec('pip'))"
    assert cluster.docker("run", "--rm", cluster.base, "python", "-c", program).split() == ["None", "None"]


def test_the_image_says_what_it_is(cluster: Cluster) -> None:
    image = json.loads(cluster.docker("image", "inspect", cluster.base))[0]["Config"]
    labels = image["Labels"]
    assert labels["org.opencontainers.image.title"] == "aioparcs"
    assert labels["org.opencontainers.image.version"] == VERSION
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert (image["Cmd"], image["WorkingDir"]) == (["python", "main.py"], "/parcs")
