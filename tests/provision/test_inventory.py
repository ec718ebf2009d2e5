"""The inventory of a cluster's hosts: what it says, and where it is wrong."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from aioparcs.cli.cluster import cluster
from aioparcs.errors import SettingError
from aioparcs.provision.inventory import read_inventory
from aioparcs.provision.plans.hosts import Host

WHOLE = """
user = "ada"  # of all
key = "keys/cloud"

[hosts."203.0.113.11"]
role = "manager"
address = "10.0.0.2"

[hosts.node2]
[hosts.node3]
port = 2222
labels = { disk = "ssd", gpu = "a100" }

[hosts.node4]
user = "root"
role = "worker"
"""

_NO_CLUSTER = {"LEADER_URL": "ssh://ada@127.0.0.1:1"}  # nothing listens there


def read(folder: Path, text: str) -> list[Host]:
    (folder / "cluster.toml").write_text(text)
    return read_inventory(folder / "cluster.toml")


@pytest.fixture
def key(tmp_path: Path) -> str:
    """Create the key of the inventory, beside it, and return its path."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "cloud").touch()
    return str(tmp_path / "keys" / "cloud")


def test_hosts_have_what_all_have_and_what_is_their_own(tmp_path: Path, key: str) -> None:
    assert read(tmp_path, WHOLE) == [
        Host("203.0.113.11", "ada", key=key, address="10.0.0.2", role="manager"),
        Host("node2", "ada", key=key),
        Host("node3", "ada", 2222, key, labels=(("disk", "ssd"), ("gpu", "a100"))),
        Host("node4", "root", key=key, role="worker"),
    ]
    assert read(tmp_path, 'user = "eve"\nhosts = { node1 = {}, node2 = { port = 22 } }') == [
        Host("node1", "eve"),
        Host("node2", "eve", 22),
    ]
    (tmp_path / "cluster.toml").write_text("[hosts.node1]")
    assert read_inventory(tmp_path / "cluster.toml", "bob") == [Host("node1", "bob")]


@pytest.mark.parametrize(
    "text, line, wrong",
    [
        ("user = 5\n[hosts.node1]", 1, "user = 5 is no text"),
        ("[hosts.node1]\n[hosts.node2]\nport = 99999", 3, "hosts.node2.port = 99999 is no port, 1 to 65535"),
        ("[hosts.node1]\nport = true", 2, "hosts.node1.port = True is no port, 1 to 65535"),
        ('[hosts.a]\n\n[hosts."10.0.0.9"]\nrol = "x"', 4, "hosts.10.0.0.9.rol is no setting; there are: address, key,"),
        ('[hosts]\nn1 = {}\nn2 = { role = "boss" }', 3, "hosts.n2.role = 'boss' is no role: 'manager' or 'worker'"),
        ('[hosts.n1]\naddress = "10.0.0"', 2, "hosts.n1.address = '10.0.0' is no IPv4 address"),
        ('[hosts.n1]\nkey = "nokey"', 2, "hosts.n1.key = 'nokey': there is no file "),
        ('[hosts.n1]\nkey = "~no-one/id"', 2, "hosts.n1.key = '~no-one/id': there is no file "),
        (
            "[hosts.n1]\nlabels = { gpus = 2 }",
            2,
            'hosts.n1.labels has the label gpus = 2, which is no text: gpus = "2"',
        ),
        ('[hosts.n1]\nlabels = { "io.aioparcs.host" = "x" }', 2, "hosts.n1.labels has the label 'io.aioparcs.host'"),
        ('[hosts.n1]\n[hosts."ada@n2"]', 2, "hosts.ada@n2 names a user or a port"),
        ('[hosts."a b"]', 1, "hosts.a b does not name a host"),
        ("[hosts]\nnode1 = 5", 2, "hosts.node1 is no table; write for example [hosts.node1], or node1 = {}"),
        ("[host.node1]", 1, "host is no setting; there are: hosts, key, port, user"),
        ('address = "10.0.0.1"\n[hosts.node1]', 1, "address is no setting; there are: hosts, key, port, user"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, line: int, wrong: str) -> None:
    with pytest.raises(SettingError) as raised:
        read(tmp_path, text)
    assert str(raised.value).startswith(f"{tmp_path}/cluster.toml, line {line}: {wrong}")


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"cluster\.toml is no TOML: .*line 2"):
        read(tmp_path, "[hosts.node1]\nport = \n[hosts.node2]")
    with pytest.raises(SettingError, match=r"cluster\.toml: hosts names no host; write for example \[hosts\.node1\]"):
        read(tmp_path, "")
    with pytest.raises(SettingError, match=r"nothing\.toml can't be read: No such file or directory"):
        read_inventory(tmp_path / "nothing.toml")


def test_the_command_wants_hosts_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "cluster.toml").write_text("[hosts.node1]\nport = 0\n")
    given = ["--inventory", str(tmp_path / "cluster.toml")]
    for command in ("up", "add"):
        for words in ([command], [command, "node1", *given]):
            done = CliRunner().invoke(cluster, words)
            assert done.exit_code == 2
            assert "name the hosts either in the command line or in a file: --inventory FILE" in done.output
    done = CliRunner().invoke(cluster, ["up", *given])
    assert (done.exit_code, done.output) == (
        2,
        f"Error: {tmp_path}/cluster.toml, line 2: hosts.node1.port = 0 is no port, 1 to 65535\n",
    )


def test_a_wrong_inventory_is_named_before_anything_else(tmp_path: Path) -> None:
    (tmp_path / "cluster.toml").write_text("[hosts.node1]\nport = 0\n")
    for words in (["add"], ["remove", "node1"], ["down"], ["down", "--yes"]):
        done = CliRunner().invoke(cluster, [*words, "--inventory", str(tmp_path / "cluster.toml")], env=_NO_CLUSTER)
        assert (done.exit_code, done.output) == (
            2,
            f"Error: {tmp_path}/cluster.toml, line 2: hosts.node1.port = 0 is no port, 1 to 65535\n",
        )


def test_workers_alone_can_be_added(tmp_path: Path) -> None:
    (tmp_path / "cluster.toml").write_text('[hosts.node4]\nrole = "worker"\n')
    done = CliRunner().invoke(cluster, ["add", "--inventory", str(tmp_path / "cluster.toml")], env=_NO_CLUSTER)
    assert done.exit_code == 1, done.output
    assert "ssh://ada@127.0.0.1:1" in done.output  # the cluster, which is asked next
