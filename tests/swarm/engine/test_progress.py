"""The progress of a pool on the Swarm, as `aioparcs run --on swarm` shows it."""

import json
import re
import time
from pathlib import Path
from typing import Any

from aioparcs.recording import read_recording
from aioparcs.recording.history import history_of
from tests.support.command import COMMAND, execute, in_terminal, visible
from tests.support.jobs import module
from tests.support.live import PATIENCE, Cluster, left
from tests.support.submitted import own, submitted

ODD = """
from aioparcs import serve

def odd(n):
    if n % 2 == 0:
        raise ValueError("even")
    return n

serve(odd)
"""
POOLING = """
from aioparcs import run

async def main(runner):
    async with runner.pool("odd", 3, progress="find the odd ones") as pool:
        print(sum(isinstance(one, int) for one in await pool.map(range(1000), return_exceptions=True)))

run(main)
"""


def test_the_lines_of_a_pool_on_the_swarm_come_through(cluster: Cluster, tmp_path: Path) -> None:
    module(tmp_path, "odd", ODD)
    folder = module(tmp_path, "pooling", POOLING) / "pooling"
    done = execute([*COMMAND, "run", str(folder), "--on", "swarm"], None, **cluster.environment)
    assert (done.returncode, done.stdout) == (0, "500\n"), done.stderr
    pattern = r"find the odd ones: 1,000 of 1,000 items in [\d.]+ m?s, [\d.,]+/s, 3 workers, 500 failed\n"
    assert re.search(pattern, done.stderr)
    (name,) = re.findall(r"runs as job ([0-9a-f]{8})", done.stderr)
    assert left(cluster, name) == []


def test_the_history_of_a_job_on_the_swarm_has_each_worker_and_its_calls(cluster: Cluster, tmp_path: Path) -> None:
    module(tmp_path, "odd", ODD)
    folder = module(tmp_path, "pooling", POOLING) / "pooling"
    environment = cluster.environment | {"XDG_STATE_HOME": str(tmp_path / "state")}
    done = execute([*COMMAND, "run", str(folder), "--on", "swarm"], None, **environment)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "state" / "aioparcs" / "jobs").glob("*.jsonl")
    history = history_of(read_recording(path))
    assert [(worker.how, bool(worker.node)) for worker in history.workers.values()] == [("done", True)] * 3
    assert all(worker.requested <= worker.connected <= worker.ended for worker in history.workers.values())  # type: ignore[operator]  # all have
    calls = [span for worker in history.workers.values() for span in worker.spans]
    assert (sum(span.calls for span in calls), sum(span.failed for span in calls)) == (1000, 500)
    assert history.is_whole


WAITING = """
import asyncio, json, sys
from aioparcs import run

async def main(runner):
    async with runner.pool("odd", 3, progress="find the odd ones") as pool:
        print(sum(isinstance(one, int) for one in await pool.map(range(1000), return_exceptions=True)), flush=True)
        await asyncio.sleep(1000)

run(main)
"""


def test_a_terminal_shows_the_live_display_of_a_job_on_the_swarm(cluster: Cluster, tmp_path: Path) -> None:
    module(tmp_path, "odd", ODD)
    folder = module(tmp_path, "pooling", POOLING) / "pooling"
    environment: Any = cluster.environment
    code, written = in_terminal("run", str(folder), "--on", "swarm", **environment)
    text = visible(written)
    assert code == 0, text
    assert re.search(r"[\r\n]500\n", text)
    assert re.search(r"[\r\n]odd +3 workers finished  on \d nodes?", text)
    assert re.search(r"[\r\n]find the odd .*1,000 of 1,000  500 failed  in ", text)
    assert "\x1e" not in text
    assert "1,000 of 1,000 items" not in text


def test_the_progress_of_a_job_on_the_swarm_is_in_ps_and_not_in_the_text_of_its_log(
    cluster: Cluster, tmp_path: Path
) -> None:
    module(tmp_path, "odd", ODD)
    folder = module(tmp_path, "waiting", WAITING) / "waiting"
    own(cluster)
    with submitted(cluster, folder, "progress") as job:
        assert job.line() == 500

        def progress() -> Any:
            done = execute([*COMMAND, "ps", "--json", job.job], None, **cluster.environment)
            assert done.returncode == 0, done.stderr
            (shown,) = json.loads(done.stdout)
            return shown["progress"]

        deadline = time.monotonic() + PATIENCE
        while not (known := progress()) or known["pools"][0]["done"] < 1000:
            assert time.monotonic() < deadline, known
            time.sleep(0.2)  # a command takes as much of a core
        (pool,), (odd,) = known["pools"], known["modules"]
        assert (pool["pool"], pool["done"], pool["failed"], pool["total"]) == ("find the odd ones", 1000, 500, 1000)
        assert (odd["module"], odd["workers"], odd["connected"], sum(odd["nodes"].values())) == ("odd", 3, 3, 3)
        log = execute([*COMMAND, "logs", job.job], None, **cluster.environment)
        assert (log.returncode, log.stdout) == (0, "500\n"), log.stderr
        assert "odd: 3 of 3 connected\n" in log.stderr
        assert "\x1e" not in log.stderr
