"""The Swarm services that aioparcs creates, as Docker gets them: of workers, of a runner, of the doctor's probe."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from aioparcs.address import Address
from aioparcs.engine import Job, WorkerSpec
from aioparcs.events import EventBus
from aioparcs.settings import Settings
from aioparcs.swarm.doctor import probe
from aioparcs.swarm.engine.program import ContainerProgram
from aioparcs.swarm.engine.service_spec import ServiceContext, service_spec
from aioparcs.swarm.jobs.submit import Submission
from tests.support.command import COMMAND, execute

SNAPSHOTS = json.loads(Path(__file__).with_name("service_specs.json").read_text())
IDENTITY = "host/boot/1/2/3"


def check(name: str, spec: Any) -> None:
    """Compare a service's specification with the one in the file, as text: Docker refuses 3.0 in place of 3."""
    assert json.dumps(spec, sort_keys=True) == json.dumps(SNAPSHOTS[name], sort_keys=True)


def context(**changes: Any) -> ServiceContext:
    job = Job("a1b2c3d4", b"token", Address("tcp", "10.0.1.5", 4000), Settings(), EventBus())
    found = ServiceContext(
        job,
        "registry:5000/factor@sha256:1",
        3,
        range(7, 12),
        ("secret-id", "parcs-a1b2c3d4_token"),
        ("network-id",),
        "",
        1_700_000_000.6,
        IDENTITY,
    )
    return found._replace(**changes)


def test_workers() -> None:
    check("worker", service_spec(WorkerSpec("factor"), 5, context()))


@pytest.mark.slow
def test_workers_with_every_option() -> None:
    swarm = {
        "constraints": ["node.role==worker"],
        "preferences": ["node.labels.rack"],
        "mounts": ["/data:/data:ro", {"Type": "volume", "Source": "cache", "Target": "/cache"}],
        "networks": ["storage"],
        "labels": {"team": "blue", "io.aioparcs.role": "none"},
        "log_driver": {"Name": "journald"},
        "capabilities": ["SYS_NICE"],
        "read_only": True,
    }
    spec = WorkerSpec.make(
        "factor",
        env={"GREETING": "{{hello}}"},
        cpus=0.5,
        memory="256m",
        gpus=1,
        per_container=2,
        swarm=swarm,
        parent=4,
    )
    secrets = {"password": ("password-id", "parcs-a1b2c3d4_secret-password")}
    both = context(networks=("network-id", "other-id"), peers="10.0.1.0/24", gpu_kind="NVIDIA-GPU", secrets=secrets)
    check("worker_options", service_spec(spec, 3, both))


def test_workers_of_the_runners_own_program() -> None:
    variables = {"PARCS_TARGET": "helper:negate", "N": "{{7}}", "PARCS_PATH": '["."]'}
    program = ContainerProgram(("python", "-m", "aioparcs.service"), tuple(variables.items()))
    spec = WorkerSpec("negate", env={"N": "8"}, target="helper:negate")
    container = service_spec(spec, 2, context(program=program))["TaskTemplate"]["ContainerSpec"]
    assert container["Command"] == ["python", "-m", "aioparcs.service"]
    assert container["Env"][:3] == ["PARCS_TARGET=helper:negate", "N=8", 'PARCS_PATH=["."]']


MAIN = """
import os, sys
sys.path += [os.path.join(os.path.dirname(__file__), "lib"), "/elsewhere"]
from aioparcs import run
from aioparcs.swarm.engine.program import container_program

def divisors(n): pass

async def main(runner):
    for target in ("__main__:divisors", "helper:negate"):
        command, variables = container_program(target)
        print(command, dict(variables))

run(main)
"""


@pytest.mark.slow
def test_what_finds_functions_of_a_program_in_a_container(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    main = tmp_path / "main.py"
    main.write_text(MAIN)
    done = execute([*COMMAND, "run", str(tmp_path), "-e", "N=7"])
    own, imported = done.stdout.splitlines()
    assert own == "() {'PARCS_TARGET': '__main__:divisors', 'N': '7'}", done.stderr
    program = "('python', '-m', 'aioparcs.service') "
    assert imported == program + repr({"PARCS_TARGET": "helper:negate", "N": "7", "PARCS_PATH": '[".", "lib"]'})
    done = execute([sys.executable, str(main), "--size", "3"])
    assert done.stdout.splitlines()[0] == "('python', 'main.py', '--size', '3') {'PARCS_TARGET': '__main__:divisors'}"
    done = execute([sys.executable, str(main)], PARCS_PROGRAM_VARIABLES="N")
    assert done.stderr == "error: PARCS_PROGRAM_VARIABLES='N' is not a JSON list of names\n"


def test_a_service_of_the_original() -> None:
    spec = WorkerSpec.make("registry:5000/factor:1", env={"N": "{{1}}"}, wire="v1")
    check("worker_original", service_spec(spec, 1, context(secret=None, leader="tcp://10.0.0.1:4321")))


def submission(**changes: Any) -> Submission:
    variables = {"N": "{{7}}", "PARCS_IMAGES": "{}"}
    command = ("python", "-m", "aioparcs", "run", ".")
    made = Submission("a1b2c3d4", "runner", "registry:5000/runner@sha256:2", variables, command, 1_700_000_000.4)
    return made._replace(**changes)


def test_a_runner() -> None:
    registries = ("secret-id", "parcs-a1b2c3d4_registries")
    secrets = {"password": ("password-id", "parcs-a1b2c3d4_secret-password")}
    check("runner", submission().spec("network-id", "/run/docker.sock", registries, secrets))


def test_a_runner_without_credentials_and_command() -> None:
    check("runner_bare", submission(arguments=(), variables={}).spec("network-id", "/var/run/docker.sock"))


@pytest.fixture
def _fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "runner_identity", lambda: IDENTITY)
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.2)
    monkeypatch.setattr(probe, "_PROGRAM", "print()")


@pytest.mark.usefixtures("_fixed")
@pytest.mark.parametrize("network, name", [({"Id": "network-id"}, "probe"), (None, "probe_outside")])
def test_the_probe(network: Any, name: str) -> None:
    check(name, probe._spec("doctor-1", "base:1", ("10.0.0.1:5000", "10.0.0.2:9"), network))
