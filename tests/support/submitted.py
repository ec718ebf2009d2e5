"""Jobs on a real Swarm whose runner is in the test's own process, and what can be seen of them from outside."""

import json
import re
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from aioparcs import Runner, Settings
from aioparcs.engine import Job
from aioparcs.events import EventBus, program_events
from aioparcs.swarm import SwarmEngine
from aioparcs.swarm.jobs.jobs import remove_job
from tests.support.command import COMMAND, ENVIRONMENT, execute
from tests.support.jobs import EventRecorder
from tests.support.live import PATIENCE, Cluster, ask

__all__ = ["Container", "RunningJob", "Submitted", "build", "containers", "own", "running_job", "submitted"]


class ExposedEngine(SwarmEngine):
    """The swarm engine, which tells what only its job should know."""

    job: Job

    async def open(self, job: Job) -> None:
        self.job = job
        await super().open(job)


class RunningJob(NamedTuple):
    runner: Runner
    job: Job
    recorder: EventRecorder


class Container(NamedTuple):
    """
    A container of a job.

    Attributes:
        cluster: where it is.
        node: the number of its node.
        id: its ID.
    """

    cluster: Cluster
    node: int
    id: str

    def run(self, *words: str, user: str = "") -> str:
        """Run a command inside, as the container's own user or another."""
        return self.cluster.docker("exec", *(["--user", user] if user else []), self.id, *words, node=self.node)

    def inspect(self, template: str = "{{json .}}") -> str:
        return self.cluster.docker("inspect", "--format", template, self.id, node=self.node).strip()


@asynccontextmanager
async def running_job(
    leader: str | None = None, *, tls: bool = False, secrets: dict[str, bytes] | None = None, **engine: Any
) -> AsyncIterator[RunningJob]:
    """Enter a runner of the Swarm; None for the leader that the environment names."""
    recorder, swarm = EventRecorder(), ExposedEngine(leader, **engine)
    token = program_events.set(EventBus(recorder))
    try:
        runner = Runner(engine=swarm, settings=Settings(), tls=tls, secrets=secrets)
    finally:
        program_events.reset(token)
    async with runner:
        yield RunningJob(runner, swarm.job, recorder)


def own(cluster: Cluster) -> Cluster:
    """Return the test cluster of this machine; skip the test on any other Swarm."""
    if not cluster.nodes:
        pytest.skip("the Swarm is not of this machine")
    return cluster


def containers(cluster: Cluster, job: str, role: str = "worker") -> list[Container]:
    """Find a job's running containers on all nodes."""
    labels = ("--filter", f"label=io.aioparcs.job={job}", "--filter", f"label=io.aioparcs.role={role}")
    return [
        Container(cluster, node, line)
        for node in range(len(cluster.nodes))
        for line in cluster.docker("ps", "--quiet", "--no-trunc", *labels, node=node).split()
    ]


def build(cluster: Cluster, folder: Path, path: str, **variables: str) -> str:
    """Build a module's image and push it below a path of the registry; gives its reference, with the digest."""
    variables |= cluster.environment | {"PARCS_REGISTRY": f"{cluster.registry}/{path}"}
    done = execute([*COMMAND, "build", str(folder), "--push", "--json"], None, **variables)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)[0]["digest"])


class Submitted(NamedTuple):
    """
    A job whose runner is on the cluster.

    Attributes:
        job: its name.
        process: the command that has submitted it and follows it.
    """

    job: str
    process: "subprocess.Popen[str]"

    def line(self) -> Any:
        """Read what the runner prints next, as JSON; when it says nothing for too long, this fails."""
        assert self.process.stdout
        assert self.process.stderr
        with _patience(self.process):
            text = self.process.stdout.readline()
            assert text, self.process.stderr.read()  # it has ended, and said why
            return json.loads(text)


@contextmanager
def submitted(cluster: Cluster, folder: Path, path: str, *arguments: str, **env: str) -> Iterator[Submitted]:
    """Submit a runner to the leader's socket, with its images below a path of the registry; leaves nothing of it."""
    variables = {"LEADER_URL": f"unix://{cluster.nodes[0].socket}", "PARCS_REGISTRY": f"{cluster.registry}/{path}"}
    job = ""
    with subprocess.Popen(
        [*COMMAND, "run", str(folder), "--on", "swarm", *arguments],
        env=ENVIRONMENT | cluster.environment | variables | env,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            job = _name(process)
            yield Submitted(job, process)
        finally:
            with _patience(process):
                process.terminate()
                process.communicate()
            if job:
                ask(cluster, lambda swarm: remove_job(swarm, job))  # if the command had to be killed


def _name(process: "subprocess.Popen[str]") -> str:
    output = ""
    assert process.stderr
    with _patience(process):
        for line in process.stderr:
            if found := re.search(r" runs as job (\w+);", line):
                return found[1]
            output += line
    raise AssertionError(f"nothing was submitted: {output}")


@contextmanager
def _patience(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Kill a process that is waited for in vain, so that reading from it comes to an end."""
    timer = threading.Timer(PATIENCE, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
