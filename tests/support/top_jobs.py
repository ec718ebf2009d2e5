"""A real job for the live view in a terminal: it fails a little, prints what should not reach a terminal, and waits."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aioparcs.monitor import FollowedJob
from aioparcs.recording.store import histories
from tests.support.jobs import ENVIRONMENT
from tests.support.waiting import until

__all__ = ["PROGRAM", "job_there", "running_job"]

PROGRAM = r"""
import asyncio, os, time
from aioparcs import run

def work(n):
    print(f"working on [bold red]{n}[/] \x1b[2J\x1b]0;title\x07<end>", flush=True)
    if n == 3:
        raise ValueError("no [bold]three[/] \x1b[31mhere")
    while n == 7 and not os.path.exists("end"):
        time.sleep(0.01)
    return n

async def main(runner):
    async with runner.pool(work, 2, retries=9) as pool:
        await pool.map(range(8), return_exceptions=True)

run(main)
"""


@contextmanager
def running_job(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the program in a folder, with calls in its history; it goes on until there is a file `end`."""
    main = folder / "primes" / "main.py"
    main.parent.mkdir(exist_ok=True)
    main.write_text(PROGRAM)
    env = ENVIRONMENT | {"XDG_STATE_HOME": os.environ["XDG_STATE_HOME"], "PARCS_RECORD": "run.jsonl"}
    with subprocess.Popen(
        [sys.executable, main], cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


async def job_there() -> Path:
    """Wait until the job has made its calls but one, and return its history."""
    await until(histories)
    (path,) = histories()
    job = FollowedJob(path)
    try:

        def calls() -> int:
            job.poll()
            return job.job.calls.calls

        await until(lambda: calls() >= 7, pause=0.05)
    finally:
        job.close()
    return path
