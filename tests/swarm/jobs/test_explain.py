"""The explanation of jobs on the Swarm: from here by their history, with the stacks of their workers, and by Docker."""

import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command import COMMAND, ENVIRONMENT, execute
from tests.support.live import Cluster
from tests.support.recordings import recording, write_recording

pytestmark = pytest.mark.slow

PROGRAM = """
import time
from aioparcs import Runner, run

def hold(n: int) -> int:
    while n == 3:
        time.sleep(0.1)
    return n

async def main(runner: Runner) -> None:
    async with runner.pool(hold, 2) as pool:
        await pool.map(range(4))

run(main)
"""


def explain(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return execute([*COMMAND, "explain", *arguments], None, **env)


def check_names(job: str, folder: Path, **variables: str) -> None:
    """Check that a whole name comes before a beginning, wherever it is, and that all are named that begin so."""
    histories = folder / "none/aioparcs/jobs"
    histories.mkdir(parents=True)
    local = write_recording(histories / f"{job}-0a1b2c.jsonl", recording(2, 3))
    exact = explain(job, **variables)
    assert exact.stdout.startswith(f"{job}: hold runs on the cluster for "), exact.stderr
    begun = explain(job[:6], **variables)
    there = f"{job}-0a1b2c, {job} (on the cluster)"
    assert begun.stderr == f"error: several jobs have names that begin with {job[:6]!r}: {there}\n"
    longer = explain(f"{job}-", **variables)
    assert longer.stdout.startswith(f"{job}-0a1b2c: "), longer.stderr
    local.unlink()
    assert explain(job[:6], **variables).stdout.startswith(f"{job}: hold runs on the cluster for ")


def test_a_job_of_a_runner_here_has_the_stacks_of_its_containers_and_docker_knows_it(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "holding").mkdir()
    (tmp_path / "holding/main.py").write_text(PROGRAM)
    variables = cluster.environment | {"XDG_STATE_HOME": str(tmp_path / "state"), "PARCS_ENGINE": "swarm"}
    elsewhere = variables | {"XDG_STATE_HOME": str(tmp_path / "none")}
    built = execute([*COMMAND, "build", "holding", "--push"], tmp_path, **variables)
    assert built.returncode == 0, built.stderr
    job = secrets.token_hex(4)
    command, own = [sys.executable, str(tmp_path / "holding/main.py")], ENVIRONMENT | variables | {"PARCS_RUN": job}
    with subprocess.Popen(command, cwd=tmp_path, env=own, stdout=-3, stderr=-3) as running:
        try:
            text = ""
            while "pool hold: waits for item 3: (3) in worker " not in text:
                assert running.poll() is None
                text = explain(**variables).stdout
                time.sleep(0.2)  # a command takes as much of a core
            assert "thread aioparcs-functions, the most recent call first:" in text
            assert text.rstrip().endswith(" in hold")
            other = explain(job, **elsewhere)
            assert other.stdout.startswith(f"{job}: hold runs on the cluster for "), other.stderr
            check_names(job, tmp_path, **elsewhere)
            worker = explain(job, "0", **elsewhere)
            assert "worker 0: its container 0 on node " in worker.stdout, worker.stderr
        finally:
            running.terminate()
            running.wait(60)
