"""The plan of a cluster: the steps for hosts in any state, and what is in the way of them."""

import sys
from ipaddress import IPv4Address, IPv4Interface

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from aioparcs.cli.cluster import cluster
from aioparcs.errors import SettingError
from aioparcs.provision.plans import steps
from aioparcs.provision.plans.facts import ClusterFacts, DockerFacts, HostFacts, Member, PortFailure
from aioparcs.provision.plans.hosts import Host, add_hosts, parse_host
from aioparcs.provision.plans.plan import Plan, Wishes, dials, no_manager, plan_up
from tests.provision.facts import apply, bare

_WISHES = Wishes("parcs", "", "python", "aioparcs", {})
_DONE = ClusterFacts(True, "10.0.0.1:5000", True, True, "ssh://ada@node1")


def plan(hosts: list[HostFacts], *failures: PortFailure) -> Plan:
    return plan_up(hosts, failures, _DONE, _WISHES)


def problems(*hosts: HostFacts) -> list[str]:
    made = plan(list(hosts))
    assert made.fatal is any(problem.fatal for problem in made.problems)
    assert not (made.fatal and made.steps)
    return [f"{problem.host}: {problem.text}" for problem in made.problems]


def test_three_bare_machines_become_a_cluster() -> None:
    made = plan_up([bare(1), bare(2, docker=False), bare(3)], [], ClusterFacts(), _WISHES)
    assert not made.problems
    assert made.managers == ("node1",)
    assert made.stages == (
        (
            steps.AddToGroup("node1", "ada"),
            steps.InstallDocker("node2", "apt-get", "docker.io", "docker-cli"),
            steps.StartDocker("node2"),
        ),
        (steps.InitSwarm("node1", IPv4Address("10.0.0.1")),),
        (
            steps.JoinSwarm("node2", IPv4Address("10.0.0.2"), "node1", manager=False),
            steps.JoinSwarm("node3", IPv4Address("10.0.0.3"), "node1", manager=False),
        ),
        tuple(steps.Mark(f"node{i}", "node1") for i in (1, 2, 3)),
        (steps.CreateNetwork("node1", "parcs"),),
        (steps.CreateRegistry("node1", "10.0.0.1:5000"),),
        tuple(steps.Trust(f"node{i}", "10.0.0.1:5000", "node1") for i in (2, 3)),
        (steps.LogIn(steps.HERE, "10.0.0.1:5000", "node1"),),
        (steps.BuildImage("node1", "10.0.0.1:5000", "python"),),
        (steps.CreateContext(steps.HERE, "aioparcs", "ssh://ada@node1", "node1"),),
    )


def test_workers_need_a_manager_that_is_there_or_is_wanted() -> None:
    workers = [bare(i)._replace(role="worker") for i in (1, 2)]
    (problem,) = no_manager(workers)
    assert (problem.host, problem.text, problem.fatal) == ("node1, node2", "all are to be workers", True)
    assert not no_manager([*workers, bare(3)])
    members = apply([bare(1), bare(2)], plan([bare(1), bare(2)]))
    assert not no_manager([host._replace(role="worker") for host in members])


def test_present_hosts_that_are_named_keep_user_and_port() -> None:
    present = [Host("node1", "ada", 2222), Host("node2", "ada", 2222), Host("node3", "ada")]
    named = [Host("node4", "eve"), Host("node1", key="key", role="manager"), Host("node2", "eve", 22)]
    merged = [Host("node1", "ada", 2222, "key", role="manager"), Host("node2", "eve", 22), Host("node3", "ada")]
    assert add_hosts(present, named) == [*merged, Host("node4", "eve")]


def test_a_registry_of_the_user_needs_no_other() -> None:
    hosts = [bare(1), bare(2)]
    own = _WISHES._replace(registry="registry.example.com/team")
    made = plan_up(hosts, [], ClusterFacts(), own)
    assert steps.BuildImage("node1", "registry.example.com/team", "python") in made.steps
    assert not any(isinstance(step, steps.CreateRegistry | steps.Trust | steps.LogIn) for step in made.steps)
    assert all(dial.port != 5000 for dial in dials(hosts, own))


@pytest.mark.slow
@given(
    docker=st.lists(st.booleans(), min_size=1, max_size=9),
    later=st.lists(st.booleans(), max_size=4),
    cuts=st.lists(st.integers(0, 30), max_size=3),
)
def test_a_plan_goes_on_wherever_the_last_one_was_cut_off_and_ends_with_nothing_to_do(
    docker: list[bool], later: list[bool], cuts: list[int]
) -> None:
    first = [bare(i + 1, docker=has) for i, has in enumerate(docker)]
    added = [bare(i + 101, docker=has) for i, has in enumerate(later)]
    hosts = first
    for cut in cuts:
        hosts = apply(hosts, plan(hosts), cut)
    hosts = apply(hosts, plan(hosts))
    assert plan(hosts) == Plan((), plan(hosts).managers, ())
    hosts = [*hosts, *added]
    hosts = apply(hosts, plan(hosts))
    made = plan(hosts)
    assert not made.steps
    (members,) = {host.docker.members for host in hosts if host.docker and host.docker.members}
    assert len(members) == len(hosts)
    assert sum(member.manager for member in members) == (3 if len(hosts) >= 5 else 1) == len(made.managers)


def test_hosts_have_the_roles_and_labels_that_the_user_wants() -> None:
    def wanted(hosts: list[HostFacts]) -> Plan:
        return plan_up(hosts, (), _DONE._replace(context="ssh://ada@node4"), _WISHES)

    hosts = [bare(i) for i in range(1, 6)]
    assert wanted([hosts[0]._replace(role="worker"), *hosts[1:]]).managers == ("node2", "node3", "node4")
    hosts[3] = hosts[3]._replace(role="manager", labels=(("disk", "ssd"), ("gpu", "a100")))
    made = wanted(hosts)
    assert made.managers == ("node4",)
    assert steps.InitSwarm("node4", IPv4Address("10.0.0.4")) in made.steps
    label = steps.Label("node4", "node4", (("disk", "ssd"), ("gpu", "a100")))
    assert (label,) in made.stages
    assert str(label) == "label its node disk=ssd, gpu=a100"
    hosts = apply(hosts, made)
    assert wanted(hosts) == Plan((), ("node4",), ())

    hosts[3] = hosts[3]._replace(labels=(("disk", "hdd"), ("gpu", "a100")))
    hosts[4] = hosts[4]._replace(role="manager")
    made = wanted(hosts)
    assert steps.Promote("node5", "node4") in made.steps
    assert steps.Label("node4", "node4", (("disk", "hdd"),)) in made.steps
    (problem,) = made.problems
    assert (problem.host, problem.fatal) == ("node4, node5", False)
    assert problem.text == "2 managers survive no more deaths than 1: more than half must be up"


def test_a_host_of_another_swarm_stays_there() -> None:
    other = DockerFacts("20.10.24", "active", "x", "10.0.0.2", "other", (Member("x", manager=True, host=""),))
    (found,) = problems(bare(1), bare(2)._replace(docker=other))
    assert found == "node2: is in the Swarm other already, which aioparcs did not make with these hosts"
    (found,) = problems(bare(1), bare(2)._replace(docker=DockerFacts("20.10.24", "active", "x", "10.0.0.2")))
    assert found == "node2: is in a Swarm already, which aioparcs did not make with these hosts"
    hosts = [bare(1), bare(2)]
    made = apply(hosts, plan(hosts))
    marked_elsewhere = bare(3)._replace(docker=other._replace(address="10.0.0.3"), marked="other")
    assert len(problems(*made, marked_elsewhere)) == 1  # two Swarms, each made by aioparcs, are not joined


def test_each_obstacle_is_named_with_its_host() -> None:
    good, host = bare(1), bare(2)
    sudo = host._replace(sudo="sudo: a password is required")
    assert problems(good, sudo) == [
        "node2: sudo does not let ada be root without a password: sudo: a password is required"
    ]
    assert problems(good, host._replace(modules=("overlay", "ip_vs"))) == [
        "node2: its kernel, 6.1.0, has no module vxlan, which networks between hosts need"
    ]
    assert problems(good, host._replace(free=400_000_000)) == ["node2: only 0.4 GB are free in /var/lib/docker"]
    assert problems(good, bare(3), host._replace(skew=-312.0)) == ["node2: its clock is 312 s behind the others'"]
    assert problems(good, host._replace(machine="aarch64")) == ["node2: is aarch64, and node1 is x86_64"]
    unknown = bare(2, docker=False)._replace(system="Void", families=("void",), commands=())
    assert problems(good, unknown) == ["node2: has no Docker, and Void has no package of it that is known here"]
    assert problems(good, host._replace(docker=DockerFacts("18.09.1"))) == [
        "node2: has Docker 18.09.1, which is too old"
    ]
    assert problems(good, host._replace(docker=DockerFacts("20.10.24", "locked"))) == [
        "node2: Docker there is a manager of a locked Swarm"
    ]
    assert problems(good, host._replace(addresses=good.addresses)) == ["node2: has the same address as node1, 10.0.0.1"]
    assert problems(good, host._replace(addresses=())) == ["node2: has no IPv4 address that others could reach"]
    made = plan([good, host._replace(modules=("overlay", "vxlan"), hostname="node1")])
    assert [problem.fatal for problem in made.problems] == [False, False]
    assert made.steps  # these two only limit the cluster


def test_an_unreachable_port_is_named_with_both_hosts() -> None:
    blocked = [
        PortFailure("node2", "node1", IPv4Address("10.0.0.1"), port, "no answer") for port in ("7946/udp", "4789/udp")
    ]
    made = plan([bare(1), bare(2)], *blocked)
    (problem,) = made.problems
    assert problem.host == "node2"
    assert problem.text == "can't reach node1 (10.0.0.1) on 7946/udp, 4789/udp: no answer"
    assert problem.advice == "open 7946/udp, 4789/udp in node1's firewall, and in the cloud's, for node2"
    assert not made.steps


def test_all_need_some_ports_of_all_and_others_of_managers_and_of_the_registry() -> None:
    found = {(dial.source, dial.target, f"{dial.port}/{dial.protocol}") for dial in dials([bare(1), bare(2)], _WISHES)}
    both = {"7946/tcp", "7946/udp", "4789/udp"}
    assert found == {("node2", "node1", port) for port in {"2377/tcp", "5000/tcp", *both}} | {
        ("node1", "node2", port) for port in both
    }


@pytest.mark.parametrize(
    "own, others, expected",
    [
        (["34.83.21.5/32", "10.0.0.2/32"], "10.0.0.1/24", "10.0.0.2"),  # public and private: clouds
        (["192.168.1.2/24", "10.0.0.2/24"], "10.0.0.1/24", "10.0.0.2"),  # two private ones: the shared network
        (["192.168.1.2/24", "192.168.2.2/24"], "10.0.0.1/24", None),
    ],
)
def test_the_address_is_the_one_that_the_others_reach(own: list[str], others: str, expected: str | None) -> None:
    hosts = [bare(1)._replace(addresses=(IPv4Interface(others),)), bare(2)]
    hosts[1] = hosts[1]._replace(addresses=tuple(map(IPv4Interface, own)))
    found = {dial.target: str(dial.address) for dial in dials(hosts, _WISHES)}
    assert found.get("node2") == expected
    assert plan(hosts).fatal is (expected is None)
    assert {str(dial.address) for dial in dials(hosts, _WISHES._replace(addresses={"node2": "198.51.100.1"}))} >= {
        "198.51.100.1"
    }


def test_hosts_are_named_as_ssh_names_them() -> None:
    assert parse_host("node1") == Host("node1")
    assert parse_host("eve@10.0.0.1:2222", "ada") == Host("10.0.0.1", "eve", 2222)
    assert parse_host("node1", "ada") == Host("node1", "ada")
    for wrong in ("", "a b", "-oProxyCommand=x", "node1:0", "node1:99999"):
        with pytest.raises(SettingError, match="does not name a host"):
            parse_host(wrong)


def test_without_the_extra_the_command_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncssh", None)  # Python's own way to say that there is none
    done = CliRunner().invoke(cluster, ["up", "node1"])
    assert "this command needs asyncssh: pip install 'aioparcs[ssh]'" in done.output
    assert done.exit_code == 1
