"""The plans that take a host out of a cluster, and that end it."""

import pytest

from aioparcs.errors import SettingError
from aioparcs.provision.plans.hosts import Host
from aioparcs.provision.plans.nodes import Node, find_node, read_nodes
from aioparcs.provision.plans.removal import (
    Demote,
    Drain,
    Forget,
    ForgetNode,
    Leave,
    StopRegistry,
    plan_down,
    plan_remove,
)
from aioparcs.provision.plans.steps import HERE

_REGISTRY = "10.0.0.1:5000"


def node(number: int, *, manager: bool = False, state: str = "ready", by_us: bool = True) -> Node:
    url = f"ssh://ada@Host{number}:2222" if by_us else ""
    return Node(f"id{number}", f"node{number}", url, f"10.0.0.{number}", manager, state, "active", "20.10", 2.0, 4)


def cluster(managers: int, total: int) -> list[Node]:
    return [node(i, manager=i <= managers) for i in range(1, total + 1)]


def obstacles(nodes: list[Node], target: int) -> list[str]:
    plan = plan_remove(nodes, nodes[target - 1], _REGISTRY, "id1")
    assert not plan.stages
    return [problem.text for problem in plan.problems]


def test_a_worker_is_drained_leaves_and_is_forgotten() -> None:
    nodes = cluster(1, 3)
    plan = plan_remove(nodes, nodes[2], _REGISTRY, "id1")
    expected = (Drain("Host3", "id3", "Host1"), Leave("Host3", _REGISTRY), ForgetNode("Host3", "id3", "Host1"))
    assert (plan.problems, plan.stages, plan.hosts) == ((), (expected,), (nodes[0], nodes[2]))


def test_a_node_that_is_down_is_only_forgotten() -> None:
    nodes = [*cluster(1, 2), node(3, state="down")]
    plan = plan_remove(nodes, nodes[2], _REGISTRY, "id1")
    assert (plan.stages, plan.hosts) == (((ForgetNode("Host3", "id3", "Host1"),),), (nodes[0],))


def test_a_manager_is_one_no_longer_before_it_leaves() -> None:
    nodes = cluster(3, 5)
    plan = plan_remove(nodes, nodes[1], _REGISTRY, "id1")
    kinds = [type(step) for stage in plan.stages for step in stage]
    assert kinds == [Drain, Demote, Leave, ForgetNode]
    (warning,) = plan.problems
    assert not warning.fatal
    assert "Host1 and Host3 are left as managers" in warning.text


def test_what_must_not_leave_is_named() -> None:
    assert obstacles(cluster(1, 3), 1) == ["is the only manager", f"has the images of {_REGISTRY}"]
    assert obstacles(cluster(3, 5), 1) == [f"has the images of {_REGISTRY}"]
    assert obstacles([*cluster(1, 2), node(3, by_us=False)], 3) == ["aioparcs did not put it into the Swarm"]
    lone = [node(1, manager=True, by_us=False), node(2)]
    assert obstacles(lone, 2) == ["no other manager that aioparcs knows is ready"]


def test_the_end_is_that_of_all_hosts_managers_last() -> None:
    nodes = [*cluster(3, 5), node(6, state="down")]
    plan = plan_down(nodes, [], _REGISTRY, "id1", "aioparcs")
    assert plan.stages == (
        (StopRegistry("Host1", "Host1"),),
        (Leave("Host4", _REGISTRY), Leave("Host5", _REGISTRY)),
        *((Leave(f"Host{i}", _REGISTRY),) for i in (3, 2, 1)),
        (Forget(HERE, "aioparcs", _REGISTRY),),
    )
    assert [(problem.host, problem.fatal) for problem in plan.problems] == [("Host6", False)]
    assert plan.hosts == tuple(nodes[:5])
    assert len(plan_down(cluster(1, 1), [], "", "", "").stages) == 1


def test_a_cluster_with_jobs_or_nodes_of_others_is_not_ended() -> None:
    nodes = [*cluster(1, 2), node(3, by_us=False)]
    plan = plan_down(nodes, ["a3a58137"], _REGISTRY, "id1", "aioparcs")
    assert not plan.stages
    assert [problem.text for problem in plan.problems] == [
        "aioparcs did not put it into the Swarm",
        "jobs are on it: a3a58137",
    ]


def test_nodes_are_found_by_any_of_their_names() -> None:
    nodes = cluster(1, 3)
    assert {find_node(nodes, name) for name in ("Host2", "node2", "10.0.0.2", "id2")} == {nodes[1]}
    with pytest.raises(SettingError, match="no node is called 'x'; there are: Host1, Host2, Host3"):
        find_node(nodes, "x")
    with pytest.raises(SettingError, match="several nodes are called 'node1'"):
        find_node([*nodes, node(4)._replace(hostname="node1")], "node1")


def test_nodes_are_read_as_docker_lists_them() -> None:
    listed = {
        "ID": "x",
        "Spec": {"Labels": {"io.aioparcs.host": "ssh://ada@Node1:2222"}, "Role": "manager", "Availability": "drain"},
        "Description": {"Hostname": "node1", "Engine": {"EngineVersion": "20.10"},
                        "Resources": {"NanoCPUs": 2_000_000_000, "MemoryBytes": 4}},
        "Status": {"State": "ready", "Addr": "10.0.0.1"},
    }  # fmt: skip
    foreign = {**listed, "ID": "y", "Spec": {"Labels": None, "Role": "worker", "Availability": "active"}}
    first, second = read_nodes([foreign, listed])
    assert first == Node("x", "node1", "ssh://ada@Node1:2222", "10.0.0.1", True, "ready", "drain", "20.10", 2.0, 4)
    assert first.host == Host("Node1", "ada", 2222)
    assert (second.host, second.name) == (None, "node1")
