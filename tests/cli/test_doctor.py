"""`aioparcs doctor` where no cluster is named: the checks of this machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import COMMAND, execute, run

pytestmark = pytest.mark.slow

NAMES = [
    "system", "python", "packages", "event loop", "open files", "memory", "/dev/shm", "terminal", "worker", "cluster",
]  # fmt: skip


def checks(done: "subprocess.CompletedProcess[str]") -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(done.stdout)}


def test_a_ready_machine_passes_all_checks(tmp_path: Path) -> None:
    done = run("doctor", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = checks(done)
    assert list(found) == NAMES
    assert {name for name, check in found.items() if check["state"] != "ok"} <= {"event loop", "/dev/shm"}
    assert sys.executable in found["python"]["text"]
    assert "msgpack 1" in found["packages"]["text"]
    assert found["worker"]["text"].startswith("started, and answered after ")


def test_what_is_missing_comes_with_advice_and_a_worker_that_does_not_start_has_failed(tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text("raise ImportError('it is broken')")
    done = execute(["sh", "-c", 'ulimit -n 24; exec "$@"', "sh", *COMMAND, "doctor"], PYTHONPATH=str(tmp_path))
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert "warning event loop: asyncio's own, which is slower: uvloop can't be loaded (it is broken)" in lines
    assert "warning open files: only 24 (ulimit -n), one for each worker" in lines
    (failed,) = (number for number, line in enumerate(lines) if line.startswith("failed"))
    assert lines[failed].startswith("failed  worker: none can be started: ")
    assert lines[failed + 1] == "          aioparcs demo shows all that it prints"
