"""Jobs as the cluster shows them, and what counts as left over: from records as Docker's API gives them."""

import os
import subprocess
import sys
from ipaddress import IPv4Network
from typing import Any

import pytest

from aioparcs import SettingError
from aioparcs.swarm.docker.labels import DEADLINE, FILES, JOB, MODULE, PARENT, ROLE, RUNNER, WORKERS, runner_identity
from aioparcs.swarm.docker.logs import parse_logs
from aioparcs.swarm.docker.task_state import launcher_state
from aioparcs.swarm.engine.overlay import choose_subnet, unfit_reason
from aioparcs.swarm.jobs.orphans import is_alive, leftover
from aioparcs.swarm.jobs.view import SwarmJob, end_text, view

NOW = 1_795_650_000.0  # 2026-11-26, the time of the records plus some hours
CREATED = "2026-11-25T23:02:22.04972993Z"
NODES = {"t9gditljhc2dzbtk3qva3dmaa": "node2"}
ELSEWHERE = "other/ed62ff81-168f-4a4a-8950-19ae8686dca9/4026531836/5234/487112"


def service(name: str = "parcs-j_echo-0", replicas: int = 2, role: str = "worker", module: str = "echo",
            deadline: str = f"{NOW - 60:.0f}") -> dict[str, Any]:  # fmt: skip
    labels = {JOB: "j", ROLE: role, MODULE: module, DEADLINE: deadline, RUNNER: ELSEWHERE}
    spec = {"Name": name, "Labels": labels, "Mode": {"Replicated": {"Replicas": replicas}}}
    return {"ID": f"id-of-{name}", "CreatedAt": CREATED, "Spec": spec | {"TaskTemplate": {"ContainerSpec": {}}}}


def task(slot: int, state: str, code: int | None = None, of: str = "parcs-j_echo-0", wish: str = "") -> dict[str, Any]:
    status: dict[str, Any] = {"State": state}
    if code:
        status["Err"] = f"task: non-zero exit ({code})"
    if code is not None:
        status["ContainerStatus"] = {"ContainerID": "92213671d0b2", "ExitCode": code}
    return {
        "ID": f"task{slot}",
        "CreatedAt": CREATED,
        "Spec": {"ContainerSpec": {"Labels": {JOB: "j"}}},
        "ServiceID": f"id-of-{of}",
        "Slot": slot,
        "NodeID": next(iter(NODES)),
        "Status": status,
        "DesiredState": wish or ("running" if state in ("running", "pending") else "shutdown"),
    }


def secret() -> Any:
    return {"ID": "s", "CreatedAt": CREATED, "Spec": {"Name": "parcs-j_token", "Labels": {JOB: "j", RUNNER: ELSEWHERE}}}


def job(services: list[Any], *tasks: Any, secrets: bool = True, files: tuple[Any, ...] = ()) -> SwarmJob:
    return view("j", services, tasks, [secret()] if secrets else [], NODES, files)


RUNNER_SERVICE = service("parcs-j_runner", 1, "runner", module="main")


# States


@pytest.mark.parametrize(
    "record, reason",
    [
        (task(1, "running", wish="shutdown"), "was lost (node node2 does not answer)"),
        (task(1, "shutdown", 143), "was stopped by the Swarm (its service was removed or updated)"),
        (task(1, "orphaned"), "ended (Docker does not say how)"),
        (task(1, "failed", 137), "was killed by SIGKILL"),
        (task(1, "failed", 3), "ended with exit code 3"),
    ],
)
def test_the_end_of_a_launcher_is_a_clause_that_others_can_follow(record: Any, reason: str) -> None:
    state = launcher_state(0, record, NODES)
    assert (state.state, state.reason) == ("gone", reason)


def test_the_end_of_a_runner_says_which_signal_it_was() -> None:
    ends = {0: "", None: "", 3: "exit code 3", 255: "exit code 255", 137: "killed by SIGKILL", -9: "killed by SIGKILL"}
    assert {code: end_text(code) for code in ends} == ends
    assert end_text(130) == end_text(-2) == "stopped by SIGINT"


@pytest.mark.parametrize(
    "shown, state",
    [
        (job([service()]), "starting"),
        (job([service()], task(1, "pending"), task(2, "failed", 1)), "starting"),
        (job([service()], task(1, "running", 0), task(2, "pending")), "running"),
        (job([service()], task(1, "complete", 0), task(2, "complete", 0)), "done"),
        (job([service()], task(1, "complete", 0), task(2, "failed", 137)), "failed"),
        (job([]), "idle"),
        (job([], task(1, "running", 0, wish="remove"), secrets=False), "ending"),
        (job([RUNNER_SERVICE]), "starting"),
        (job([RUNNER_SERVICE, service()], task(1, "running", 0, "parcs-j_runner")), "running"),
        (job([RUNNER_SERVICE], task(1, "complete", 0, "parcs-j_runner")), "done"),
        (job([RUNNER_SERVICE], task(1, "failed", 3, "parcs-j_runner")), "failed"),
    ],
)
def test_the_state_of_a_job(shown: SwarmJob, state: str) -> None:
    assert shown.state(None) == state


def test_a_job_of_a_dead_runner_is_an_orphan() -> None:
    running = job([service()], task(1, "running", 0))
    assert (running.state(True), running.state(False)) == ("running", "orphan")


def test_a_job_lists_its_containers_by_number_and_how_they_ended() -> None:
    second = service("parcs-j_factor-2", 1, module="factor")
    shown = job([second, RUNNER_SERVICE, service()], task(1, "running", 0), task(2, "failed", 137),
                task(1, "pending", of="parcs-j_factor-2"), task(1, "running", 0, "parcs-j_runner"))  # fmt: skip
    rows = [(one.number, one.module, one.slot, one.state, one.error) for one in shown.containers]
    assert rows == [
        (0, "echo", 1, "running", ""),
        (1, "echo", 2, "gone", "was killed by SIGKILL"),
        (2, "factor", 1, "placed", "Docker has found no node for it"),
    ]
    assert (shown.modules, shown.nodes, shown.running, shown.requested) == (("echo", "factor"), ("node2",), 1, 3)


def test_a_job_shows_its_tree_of_workers() -> None:
    root, packed, leaf, lost = service(replicas=1), *(service(f"parcs-j_echo-{first}", 2) for first in (1, 3, 5))
    for one, label in ((root, "0,1,1"), (packed, "1,3,2"), (leaf, "4,2,1"), (lost, "nonsense")):
        one["Spec"]["Labels"][WORKERS] = label
    for one, parent in ((packed, "0"), (leaf, "3"), (lost, "99")):
        one["Spec"]["Labels"][PARENT] = parent
    replicas = [(root, 1), *((one, slot) for one in (packed, leaf, lost) for slot in (1, 2))]
    tasks = [task(slot, "running", of=one["Spec"]["Name"]) for one, slot in replicas]
    shown = job([lost, leaf, packed, root], *tasks)
    assert [(one.number, [*one.workers], one.parent) for one in shown.containers] == [
        (0, [0], -1), (1, [1, 2], 0), (2, [3], 0), (3, [4], 3), (4, [5], 3), (5, [], 99), (6, [], 99)
    ]  # fmt: skip
    at_the_top = shown.children_of(None)
    assert [one.number for one in at_the_top] == [0, 5, 6]
    assert [[child.number for child in shown.children_of(one)] for one in shown.containers] == [
        [1, 2], [], [3, 4], [], [], [], []
    ]  # fmt: skip


def holder(name: str = "parcs-j_files", age: float = 3600.0) -> dict[str, Any]:
    labels = {FILES: "j", RUNNER: ELSEWHERE}
    return {"Id": "h", "Names": [f"/{name}"], "Labels": labels, "Created": int(NOW - age)}


def test_the_state_of_a_job_that_has_files() -> None:
    sending, kept = (job([], secrets=False, files=(holder(name),)) for name in ("parcs-j_files", "parcs-j_kept"))
    assert (sending.state(True), sending.state(None), sending.state(False)) == ("sending", "sending", "orphan")
    assert (kept.state(True), kept.state(None), kept.state(False)) == ("kept", "kept", "kept")
    assert (sending.identity, sending.since) == (ELSEWHERE, NOW - 3600)
    submitted = job([RUNNER_SERVICE], task(1, "running", 0, "parcs-j_runner"), files=(holder(),))
    assert submitted.state(None) == "running"


# What is left over


@pytest.mark.parametrize(
    "name, age, alive, is_left",
    [
        ("parcs-j_files", 3600, False, True),
        ("parcs-j_files", 3600, True, False),
        ("parcs-j_files", 3600, None, False),
        ("parcs-j_files", 25 * 3600, None, True),
        ("parcs-j_kept", 25 * 3600, False, False),
        ("parcs-j_kept", 25 * 3600, None, False),
    ],
)
def test_files_are_left_over_when_what_sent_them_is_gone(
    name: str, age: float, alive: bool | None, is_left: bool
) -> None:
    files = (holder(name, age),)
    assert leftover(job([], secrets=False, files=files), alive, NOW).files is is_left
    submitted = job([RUNNER_SERVICE], task(1, "complete", 0, "parcs-j_runner"), files=files)
    assert not leftover(submitted, alive, NOW).files


def left(shown: SwarmJob, alive: bool | None = None, now: float = NOW) -> tuple[list[str], int]:
    found = leftover(shown, alive, now)
    return [one["Spec"]["Name"] for one in found.services], len(found.secrets)


ENDED = (task(1, "complete", 0), task(2, "failed", 137))
NAME = "parcs-j_echo-0"


def test_a_job_of_a_runner_that_lives_is_never_left_over() -> None:
    assert left(job([service()], *ENDED), alive=True) == ([], 0)


def test_a_job_of_a_dead_runner_is_left_over_although_containers_run() -> None:
    assert left(job([service()], task(1, "running", 0)), alive=False) == ([NAME], 1)
    assert left(job([]), alive=False) == ([], 1)


@pytest.mark.parametrize(
    "shown, services",
    [
        (job([service()], *ENDED), [NAME]),
        (job([service()], task(1, "running", 0), task(2, "failed", 137)), []),
        (job([service(deadline=f"{NOW + 1:.0f}")], *ENDED), []),
        (job([service(deadline="soon")], *ENDED), []),
        (job([service(), service("parcs-j_factor-2", deadline=f"{NOW + 1:.0f}")], *ENDED), []),
        (job([service()]), [NAME]),
    ],
)
def test_of_an_unknown_runner_only_what_has_ended_past_its_deadline_is_left_over(
    shown: SwarmJob, services: list[str]
) -> None:
    assert left(shown) == (services, 0)


def test_the_secret_of_an_unknown_runner_goes_after_a_day_without_containers() -> None:
    assert left(job([]), now=NOW) == ([], 0)
    assert left(job([]), now=NOW + 2 * 86400) == ([], 1)


def test_of_a_submitted_runner_that_has_ended_the_rest_is_left_over_and_its_log_stays() -> None:
    over, runs = task(1, "complete", 0, "parcs-j_runner"), task(1, "running", 0, "parcs-j_runner")
    services = [RUNNER_SERVICE, service()]
    assert left(job(services, over, task(1, "running", 0))) == ([NAME], 1)
    assert left(job(services, runs, *ENDED)) == ([], 0)
    assert left(job(services, *ENDED)) == ([], 0)


def test_the_secrets_that_a_submitted_runner_mounts_stay_with_its_log() -> None:
    runner, over = service("parcs-j_runner", 1, "runner", module="main"), task(1, "complete", 0, "parcs-j_runner")
    runner["Spec"]["TaskTemplate"]["ContainerSpec"]["Secrets"] = [{"SecretID": "s"}]
    assert left(job([runner, service()], over)) == ([NAME], 0)


# Whether a runner lives


def test_this_process_lives_and_a_dead_one_does_not() -> None:
    assert is_alive(runner_identity()) is True
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        identity = runner_identity(other.pid)
        assert is_alive(identity) is True
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert is_alive(identity) is False, "a zombie is dead"
    assert is_alive(identity) is False


def test_the_process_id_of_a_dead_process_may_be_reused() -> None:
    assert is_alive(f"{runner_identity().rpartition('/')[0]}/1") is False


@pytest.mark.parametrize("identity", [ELSEWHERE, "", "host", "a/b/c", ELSEWHERE.replace("5234", "x")])
def test_the_state_of_a_process_on_another_host_is_unknown(identity: str) -> None:
    assert is_alive(identity) is None


# Networks


def network(**differences: Any) -> Any:
    config = {"Config": [{"Subnet": "10.77.0.0/20", "Gateway": "10.77.0.1"}]}
    return {"Name": "parcs", "Driver": "overlay", "Scope": "swarm", "Attachable": True, "IPAM": config} | differences


def test_the_subnet_is_the_first_that_overlaps_nothing() -> None:
    assert str(choose_subnet([])) == "10.76.0.0/20"
    taken = [IPv4Network("10.76.0.0/24"), IPv4Network("10.76.31.1/32"), IPv4Network("172.17.0.0/16")]
    assert str(choose_subnet(taken)) == "10.76.32.0/20"
    with pytest.raises(SettingError, match="--subnet"):
        choose_subnet([IPv4Network("10.0.0.0/8")])


@pytest.mark.parametrize(
    "differences, reason",
    [
        ({}, ""),
        ({"Driver": "bridge", "Scope": "local"}, "has the driver bridge"),
        ({"Attachable": False}, "is not attachable"),
        ({"IPAM": {"Config": [{"Subnet": "10.0.1.0/24"}]}}, "is too small: 253 addresses"),
        ({"IPAM": {"Config": None}}, "is too small: 0 addresses"),
    ],
)
def test_an_unfit_network_is_named_with_its_reason(differences: dict[str, Any], reason: str) -> None:
    assert unfit_reason(network(**differences), 4000).startswith(reason)
    assert bool(unfit_reason(network(**differences), 4000)) == bool(reason)


# Logs


def frame(stream: int, text: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text


LATE, EARLY = b"2026-11-25T23:02:23.890993296Z 10%\r20%\n", b"2026-11-25T23:02:23.090993296Z \n"


def test_a_log_keeps_the_carriage_returns_of_its_lines() -> None:
    lines, failure = parse_logs(frame(1, LATE) + frame(2, EARLY))
    assert failure == ""
    assert [(line.text, line.error) for line in lines] == [("", True), ("10%\r20%", False)]
    assert lines[1].time - lines[0].time == 800_000_000


def test_dockers_own_messages_are_not_lines_of_a_log() -> None:
    message = b"Error grabbing logs: rpc error: code = Unknown desc = warning: incomplete log stream"
    lines, failure = parse_logs(frame(1, LATE) + frame(3, message))
    assert [line.text for line in lines] == ["10%\r20%"]
    assert failure == "rpc error: code = Unknown desc = warning: incomplete log stream"


def test_the_reason_of_an_unreadable_log_is_that_of_docker() -> None:
    message = (
        b"Error grabbing logs: rpc error: code = Unknown desc = warning: incomplete log stream. "
        b"some logs could not be retrieved for the following reasons: node p1zx15mhejdv is not available"
    )
    assert parse_logs(frame(3, message)) == ([], "node p1zx15mhejdv is not available")
