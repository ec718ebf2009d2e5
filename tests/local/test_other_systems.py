"""Another system than Linux: what is only there is taken away from a process, before it loads aioparcs."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.command import execute

pytestmark = pytest.mark.slow

# What macOS has not, of what the package uses or is likely to use.
WITHOUT = """
import os, runpy, signal, socket, sys
for module, names in {
    os: "memfd_create MFD_CLOEXEC MFD_ALLOW_SEALING pidfd_open sched_getaffinity sched_setaffinity O_PATH O_TMPFILE "
        "eventfd copy_file_range posix_fallocate pipe2",
    signal: "SIGRTMIN SIGRTMAX SIGPWR pidfd_send_signal sigtimedwait sigwaitinfo",
    socket: "SO_PEERCRED TCP_USER_TIMEOUT TCP_KEEPIDLE SOCK_CLOEXEC SOCK_NONBLOCK SO_DOMAIN",
}.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
import asyncio  # which chooses what it has by the platform
sys.platform = "darwin"
import aioparcs
for name in aioparcs.__all__:
    getattr(aioparcs, name)
"""
PROGRAM = """
from aioparcs import Runner, run

def double(n):
    return 2 * n

async def main(runner):
    async with runner.pool(double) as pool:
        print(await pool.map([1]))

run(main)
"""
REASON = "workers need Linux, and this is darwin"


def test_all_names_load_and_a_program_and_the_doctor_say_that_workers_need_linux(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(PROGRAM)
    program = f"{WITHOUT}runpy.run_path('main.py', run_name='__main__')"
    done = execute([sys.executable, "-c", program], tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert REASON in done.stderr

    doctor = f"{WITHOUT}from aioparcs.cli import main\nmain(['doctor', '--json'])"
    done = execute([sys.executable, "-c", doctor], tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    (check,) = json.loads(done.stdout)
    assert (check["state"], check["text"]) == ("failed", REASON)
