"""The page of a job on a real Swarm: its progress, where its containers are, and nothing of their environment."""

import json
import re
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.command import COMMAND, ENVIRONMENT
from tests.support.jobs import module
from tests.support.live import Cluster, left
from tests.support.page_client import ask

pytestmark = [pytest.mark.one_loop, pytest.mark.slow, pytest.mark.timeout(400)]

SECRET = "secret-of-the-page-test"
RUNNER = """
import asyncio
from aioparcs import run

def work(n):
    print("working on", n)
    return n + 0 / (10 - n)

async def main(runner):
    async with runner.pool(work, 3) as pool:
        await pool.map(range(11), return_exceptions=True)
        await asyncio.sleep(300)

run(main)
"""


def test_a_job_on_the_swarm_is_on_the_page(cluster: Cluster, tmp_path: Path) -> None:
    folder = module(tmp_path, "paged", RUNNER) / "paged"
    variables = cluster.environment | {"XDG_STATE_HOME": str(tmp_path / "state")}
    with subprocess.Popen(
        [*COMMAND, "run", str(folder), "--on", "swarm", "--ui", "-e", f"SECRET={SECRET}"],
        env=ENVIRONMENT | variables, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.stderr
            lines: list[str] = []
            while not (lines and lines[-1].startswith("page: ")):
                lines.append(process.stderr.readline())
                assert lines[-1], lines
            address = lines[-1].removeprefix("page: ").strip()
            (name,) = parse_qs(urlsplit(address).fragment)["job"]
            deadline = time.monotonic() + 200
            message = ask(address, f"/api/jobs/{name}")
            while message["overview"]["items"]["done"] < 11 or not message["failures"]:
                assert time.monotonic() < deadline, message["log"]
                time.sleep(0.2)
                message = ask(address, f"/api/jobs/{name}")
            overview = message["overview"]
            assert (overview["engine"], overview["state"]) == ("swarm", "running")
            assert overview["workers"]["up"] == 3
            assert any("working on 7" in row[4] for row in message["log"])
            assert "return n + 0 / (10 - n)" in json.dumps(message["failures"]), "a traceback"
            known = ask(address, "/api/cluster")
            assert known["available"], known["reason"]
            assert len(known["nodes"]) == cluster.size
            assert {node["state"] for node in known["nodes"]} == {"ready"}
            tasks = [task for node in known["nodes"] for task in node["tasks"]]
            assert overview["versions"]["job"] in {task["job"] for task in tasks}
            assert sum(task["job"] == overview["versions"]["job"] for task in tasks) == 4
            assert SECRET not in json.dumps([message, known])
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=100)
            assert process.returncode == 130
        finally:
            process.kill()
    (history,) = (tmp_path / "state/aioparcs/jobs").glob("*.jsonl")
    assert re.search(r'"kind":"ProgramEnding".*"stopped', history.read_text())
    assert SECRET not in history.read_text()
    assert not left(cluster, overview["versions"]["job"])
