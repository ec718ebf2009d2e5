"""How far a pool is, seen from where `aioparcs run --on swarm` was typed."""

import re
from pathlib import Path

from tests.support.command import COMMAND, execute
from tests.support.jobs import module
from tests.support.live import Cluster, left

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
