"""Packages that a submitted runner and its services share, in the images of a real Swarm."""

import subprocess
from pathlib import Path

from tests.support.command import COMMAND, ENVIRONMENT
from tests.support.jobs import module
from tests.support.live import PATIENCE, Cluster
from tests.support.submitted import own

SERVICE = "from shared.sums import total\nfrom aioparcs import serve\nserve(total)\n"
RUNNER = """
import importlib.util
from shared import sums
from aioparcs import run

def own(items): return sums.total(items) + 1

async def main(runner):
    for function in ("adder", own, sums.total):
        async with runner.pool(function, 1) as pool:
            print(await pool.map([[1, 2]]))
    print(importlib.util.find_spec("beside"))

run(main)
"""
DOCKERFILE = 'FROM {base}\nCOPY . /app\nWORKDIR /app\nCMD ["python", "main.py"]\n'


def test_shared_packages_are_in_the_images_of_all_that_list_them(cluster: Cluster, tmp_path: Path) -> None:
    for name, text in (("main", RUNNER), ("adder", SERVICE)):
        module(tmp_path, name, text)
        (tmp_path / name / "pyproject.toml").write_text('[tool.aioparcs]\ninclude = ["../common/shared"]\n')
    (tmp_path / "adder" / "Dockerfile").write_text(DOCKERFILE.format(base=cluster.base))  # the runner has none
    for name in ("shared", "beside"):
        (tmp_path / "common" / name).mkdir(parents=True)
        (tmp_path / "common" / name / "__init__.py").touch()
    (tmp_path / "common" / "shared" / "sums.py").write_text("def total(items): return sum(items)\n")
    variables = cluster.environment | {
        "LEADER_URL": f"unix://{own(cluster).nodes[0].socket}",
        "PARCS_REGISTRY": f"{cluster.registry}/tests-includes",
    }
    command = [*COMMAND, "run", str(tmp_path / "main"), "--on", "swarm"]
    done = subprocess.run(
        command, env=ENVIRONMENT | variables, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=2 * PATIENCE,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "[3]\n[4]\n[3]\nNone\n"), done.stderr
