"""`aioparcs cluster up` on machines with a real sshd each: what it makes, and what it says is in the way."""

import base64
import faulthandler
import json
import re
import subprocess
from pathlib import Path

import pytest

from aioparcs.settings import VERSION
from tests.cluster import ClusterError, obstacle
from tests.cluster.command import execute
from tests.provision.machines import Network, machines
from tests.provision.tree import USER
from tests.support.command import COMMAND, ENVIRONMENT, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.cluster,
    pytest.mark.timeout(900),  # on a new machine the first one makes the machines' files, too
    pytest.mark.skipif(bool(obstacle()), reason=f"no machines to test with: {obstacle()}"),
]


@pytest.fixture(autouse=True)
def _takes_longer() -> None:
    """Keep the watch over hangs in C from ending the whole run: it is shorter, and commands here have deadlines."""
    faulthandler.cancel_dump_traceback_later()


def up(network: Network, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run the command for all machines, unless an inventory names them."""
    hosts = [] if "--inventory" in options else [machine.address for machine in network.machines]
    command = [*COMMAND, "cluster", "up", *hosts, "--user", USER, "--from", "python", *options]
    given = {"HOME": str(network.home), "PARCS_WHEELS": str(network.wheels)}
    # It builds an image on the way, which may take longer than any other command of the tests.
    return subprocess.run(
        command, env=ENVIRONMENT | given, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
    )


def docker(network: Network, *words: str, machine: int = 0) -> str:
    return network.machines[machine].run("docker", *words).strip()


def lines(text: str, state: str) -> list[str]:
    """Return the lines of a state, without the addresses' common part."""
    return [line.removeprefix(state).strip() for line in text.splitlines() if line.startswith(state)]


def test_a_cluster_is_made_of_bare_machines_and_made_once() -> None:
    with machines((True, True, False)) as network:
        first, second, third = network.machines
        first.provide_images()
        registry = f"{first.address}:5000"
        planned = up(network, "--plan")
        assert planned.returncode == 0, planned
        expected = [
            f"{first.address}: let ada use Docker: usermod --append --groups docker ada",
            f"{second.address}: start Docker, also whenever the host starts",
            f"{third.address}: install Docker: apt-get install docker.io",
            f"{third.address}: start Docker, also whenever the host starts",
            f"{first.address}: make the Swarm, at {first.address}",
            *(f"{one.address}: join the Swarm of {first.address} as a worker, at {one.address}"
              for one in (second, third)),
            *(f"{one.address}: note that aioparcs has put it into the Swarm" for one in network.machines),
            f"{first.address}: create the network parcs of the jobs",
            f"{first.address}: run a registry, {registry}, with TLS and a password",
            *(f"{one.address}: trust the certificate of {registry}" for one in (second, third)),
            f"this machine: log in to {registry}",
            f"{first.address}: build the base image on python, and push it to {registry}",
            f"this machine: create the Docker context aioparcs, ssh://ada@{first.address}",
        ]  # fmt: skip
        assert lines(planned.stdout, "plan") == expected
        assert docker(network, "info", "--format", "{{.Swarm.LocalNodeState}}") == "inactive"
        for machine in (second, third):
            assert not re.search(r"\bdockerd\b", machine.run("sh", "-c", "cat /proc/[0-9]*/comm"))

        _break_half_way(network)
        made = up(network)
        assert made.returncode == 0, made
        assert lines(made.stdout, "done")[-1] == expected[-1]
        states = docker(network, "node", "ls", "--format", "{{.Hostname}} {{.Status}} {{.ManagerStatus}}").split("\n")
        assert sorted(map(str.strip, states)) == ["bare-1 Ready Leader", "bare-2 Ready", "bare-3 Ready"]
        labels = docker(network, "node", "inspect", "--format", "{{json .Spec.Labels}}", "bare-3")
        assert labels == f'{{"io.aioparcs.host":"ssh://ada@{third.address}"}}'
        checks = lines(made.stdout, "ok")
        for check in (
            "nodes: 3 of 3 are ready",
            "network: 'parcs' is an attachable overlay, 10.76.0.0/20",
            f"base image: {registry}/aioparcs/python:{VERSION} runs on bare-1, bare-2, bare-3",
            f"registry: {registry} can be reached from bare-1, bare-2, bare-3",
        ):
            assert check in checks
        assert f"export DOCKER_CONTEXT=aioparcs PARCS_REGISTRY={registry}" in made.stdout
        jobs = run("ps", HOME=str(network.home), DOCKER_CONTEXT="aioparcs")
        assert jobs.returncode == 0, jobs
        _check_registry(network, registry)

        _label(network)
        again = up(network)
        assert (again.returncode, lines(again.stdout, "done")) == (0, [])
        assert "nothing to do: the cluster is as it should be" in again.stdout

        _remove_and_add(network)
        _end(network)

        docker(network, "swarm", "init", "--advertise-addr", third.address, machine=2)
        elsewhere = docker(network, "info", "--format", "{{.Swarm.Cluster.ID}}", machine=2)
        refused = up(network)
        assert refused.returncode == 1
        assert lines(refused.stdout, "failed") == [
            f"{third.address}: is in the Swarm {elsewhere} already, which aioparcs did not make with these hosts"
        ]
        assert docker(network, "info", "--format", "{{.Swarm.Cluster.ID}}", machine=2) == elsewhere


def _inventory(network: Network, key: Path, more: str = "") -> str:
    """Write an inventory of all machines, the first of which is the manager, and return its path."""
    first, *others = (machine.address for machine in network.machines)
    tables = "".join(f"[hosts.'{address}']\n" for address in others)
    path = network.folder / "cluster.toml"
    path.write_text(f"key = '{key}'\n[hosts.'{first}']\nrole = 'manager'\n{tables}{more}")
    return str(path)


def _label(network: Network) -> None:
    """Label a node by an inventory, and find it by the label."""
    third = network.machines[2].address
    key = network.home / ".ssh/id_ed25519"
    inventory = _inventory(network, key, "port = 22\nlabels = { disk = 'ssd' }\n")
    done = up(network, "--inventory", inventory)
    assert (done.returncode, lines(done.stdout, "done")) == (0, [f"{third}: label its node disk=ssd"]), done
    found = docker(network, "node", "ls", "--filter", "node.label=disk=ssd", "--format", "{{.Hostname}}")
    assert found == "bare-3"


def _cluster(network: Network, *words: str) -> "subprocess.CompletedProcess[str]":
    done = run("cluster", *words, HOME=str(network.home), DOCKER_CONTEXT="aioparcs")
    assert done.returncode == 0, done
    return done


def _names(network: Network) -> list[str]:
    """Return the nodes by `cluster status`, which has also the rest as it should be."""
    found = json.loads(_cluster(network, "status", "--json").stdout)
    first = network.machines[0].address
    assert (found["leader"], found["network"], found["registry"], found["jobs"]) == (
        f"ssh://ada@{first}", "parcs", f"{first}:5000", []
    )  # fmt: skip
    assert {(node["state"], node["availability"]) for node in found["nodes"]} == {("ready", "active")}
    assert found["nodes"][0]["manager"]
    return [node["name"] for node in found["nodes"]]


def _remove_and_add(network: Network) -> None:
    """Remove a node on which a container runs, and add it again."""
    first, second, third = network.machines
    assert _names(network) == [first.address, second.address, third.address]
    spread = ("--mode", "global", "--name", "busy", "--entrypoint", "sleep", "python", "infinity")
    docker(network, "service", "create", "--detach", "--restart-condition", "none", "--no-resolve-image", *spread)
    removed = _cluster(network, "remove", "bare-3")
    assert lines(removed.stdout, "done") == [
        f"{third.address}: drain it, and wait until its containers have ended",
        f"{third.address}: leave the Swarm; Docker stays installed",
        f"{third.address}: remove it from the list of nodes",
    ]
    docker(network, "service", "rm", "busy")
    assert _names(network) == [first.address, second.address]
    assert docker(network, "info", "--format", "{{.Swarm.LocalNodeState}}", machine=2) == "inactive"
    assert third.run("ls", "/etc/docker/certs.d") == ""

    added = _cluster(network, "add", third.address, "--user", USER)
    assert lines(added.stdout, "done") == [
        f"{third.address}: join the Swarm of {first.address} as a worker, at {third.address}",
        f"{third.address}: note that aioparcs has put it into the Swarm",
        f"{third.address}: trust the certificate of {first.address}:5000",
    ]
    assert _names(network) == [first.address, second.address, third.address]


def _end(network: Network) -> None:
    """End the cluster, of which only Docker is left."""
    _cluster(network, "down", "--yes")
    for number, machine in enumerate(network.machines):
        assert docker(network, "info", "--format", "{{.Swarm.LocalNodeState}}", machine=number) == "inactive"
        assert "aioparcs" not in machine.run("ls", "/etc")
        assert machine.run("ls", "/etc/docker/certs.d") == ""
        assert docker(network, "volume", "ls", "--quiet", machine=number) == ""
    kept = json.loads((network.home / ".docker/config.json").read_text())
    assert kept["auths"] == {}
    assert run("ps", HOME=str(network.home), DOCKER_CONTEXT="aioparcs").returncode == 2


def _check_registry(network: Network, registry: str) -> None:
    """Check that the registry wants a password, and who can read it."""
    first, second, _ = network.machines
    with pytest.raises(ClusterError, match=r"no basic auth credentials|unauthorized"):
        second.run("docker", "pull", f"{registry}/aioparcs/python:{VERSION}")
    kept = network.home / ".docker/config.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    password = json.loads(first.run("cat", "/etc/aioparcs/registry.json"))["password"]
    assert base64.b64decode(json.loads(kept.read_text())["auths"][registry]["auth"]) == f"aioparcs:{password}".encode()
    assert first.run("stat", "--format", "%a %U", "/etc/aioparcs/registry.json") == "600 root\n"


def _break_half_way(network: Network) -> None:
    """Cut a machine off in the midst of a step, and see that the others end theirs."""
    first, second, _ = network.machines
    script = "/etc/init.d/docker"
    second.run("cp", script, "/root/docker")
    second.run("sh", "-c", f"printf '#!/bin/sh\\nip link set eth0 down; sleep 60\\n' > {script}")
    broken = up(network)
    assert broken.returncode == 1
    (failed,) = lines(broken.stdout, "failed")
    assert failed.startswith(f"{second.address}: the connection was lost during starting Docker: ")
    assert "then run this again: it goes on from there" in broken.stdout
    assert f"{first.address}: let ada use Docker: usermod --append --groups docker ada" in lines(broken.stdout, "done")
    assert docker(network, "info", "--format", "{{.Swarm.LocalNodeState}}") == "inactive"
    second.run("sh", "-c", f"cp /root/docker {script}; ip link set eth0 up; ip route add default via 10.214.77.1")


def _port(network: Network, port: str, target: str, reason: str) -> tuple[str, str, str, str]:
    """Return how a port of the first machine is closed for the second one and opened again, and what is said of it."""
    first, second, _ = network.machines
    number, protocol = port.split("/")
    rule = f"INPUT -p {protocol} --dport {number} -s {second.address} -j {target}"
    return (
        f"iptables -A {rule}",
        f"iptables -D {rule}",
        f"{second.address}: can't reach {first.address} ({first.address}) on {port}: {reason}",
        f"open {port} in {first.address}'s firewall, and in the cloud's, for {second.address}",
    )


def _obstacles(network: Network) -> list[tuple[str, str, str, str]]:
    """Return what is done to the first machine, how it is undone, and what is said of it and advised."""
    own = network.machines[0].address
    return [
        _port(network, "7946/udp", "DROP", "no answer"),
        _port(network, "2377/tcp", "REJECT", "Connection refused"),
        (
            "mv /etc/sudoers.d/ada /root",
            "mv /root/ada /etc/sudoers.d",
            f"{own}: sudo does not let ada be root without a password: sudo: a password is required",
            "> /etc/sudoers.d/ada",
        ),
        (
            "mount -t tmpfs -o size=400m tmpfs /var/lib/docker",
            "umount /var/lib/docker",
            f"{own}: only 0.4 GB are free in /var/lib/docker",
            "make room: Docker and its images need 3 GB",
        ),
        (
            "mv /home/ada/.ssh/authorized_keys /root",
            "mv /root/authorized_keys /home/ada/.ssh",
            f"{own}: sshd does not let ada in: no key is accepted",
            f"ssh-copy-id ada@{own}",
        ),
        ("mv /usr/bin/python3 /root", "mv /root/python3 /usr/bin", f"{own}: has no python3", "apt-get install python3"),
    ]


def _accept_new(network: Network, entries: list[str]) -> None:
    """Accept the key of a machine that is not known, and refuse that of one that has another one."""
    first, second, _ = network.machines
    known = network.home / ".ssh/known_hosts"
    accepted = up(network, "--plan", "--accept-new")
    assert accepted.returncode == 0, accepted
    (line,) = lines(accepted.stdout, "done")
    assert re.fullmatch(rf"{re.escape(first.address)}: accept its host key, SHA256:\S+, and record it in \S+", line)
    assert sorted(known.read_text().splitlines(keepends=True)) == sorted(entries)
    changed = entries[0].replace(first.address, second.address).rpartition(" ")[0]
    other = network.folder / "other"
    execute("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other)
    key = other.with_suffix(".pub").read_text().split()[1]
    known.write_text("".join([entries[0], f"{changed} {key}\n", *entries[2:]]))
    refused = up(network, "--plan", "--accept-new")
    assert refused.returncode == 1
    assert lines(refused.stdout, "failed") == [
        f"{second.address}: its host key is not the one in known_hosts for {second.address}"
    ]
    assert key in known.read_text()
    known.write_text("".join(entries))


def _key_of_the_inventory(network: Network) -> None:
    """Log in with a key that only an inventory names: not to the manager, where jobs log in later."""
    own, key = network.home / ".ssh/id_ed25519", network.home / "cloud"
    own.rename(key)
    refused = up(network, "--plan", "--inventory", _inventory(network, key))
    first = network.machines[0].address
    assert (refused.returncode, lines(refused.stdout, "failed")) == (
        1, [f"{first}: jobs log in to this manager with the keys that ssh knows, and {key} is none of them"]
    )  # fmt: skip
    assert f"in ~/.ssh/config: Host {first}, and below it: IdentityFile {key}; or ssh-add {key}" in refused.stdout
    key.rename(own)


def test_what_is_in_the_way_is_named_and_nothing_is_changed() -> None:
    with machines((False, False, False)) as network:
        first, second, third = network.machines

        def check(*expected: str, advice: str) -> None:
            done = up(network)
            assert (done.returncode, lines(done.stdout, "failed")) == (1, list(expected))
            assert advice in done.stdout
            assert not lines(done.stdout, "done")

        for do, undo, expected, advice in _obstacles(network):
            first.run("sh", "-c", do)
            check(expected, advice=advice)
            first.run("sh", "-c", undo)
        known = network.home / ".ssh/known_hosts"
        entries = known.read_text().splitlines(keepends=True)
        known.write_text("".join(entries[1:]))
        check(
            f"{first.address}: its host key is not the one in known_hosts, or not there",
            advice=f"ssh-keyscan -H {first.address} >> ~/.ssh/known_hosts",
        )
        _accept_new(network, entries)
        _key_of_the_inventory(network)
        for machine in (second, third):
            machine.run("sh", "-c", "kill $(cat /run/sshd.pid)")
        check(f"{second.address}, {third.address}: can't be reached by ssh: Connection refused", advice="is it up")
