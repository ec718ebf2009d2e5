"""A run that is killed at any time goes on where it was: real runners, killed by SIGKILL at random."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from aioparcs import codec
from aioparcs.journal.records import ResultHead
from aioparcs.journal.scan import HEADER, check_header, scan
from tests.support.deep import deep, repeats
from tests.support.jobs import ENVIRONMENT

PROGRAM = """
import os
import time
from aioparcs import Runner, run


def append(name, text):
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, text.encode())
    os.close(file)


def work(n):
    append("calls", f"{os.environ['RUN']} {n}\\n")
    time.sleep(0.001)  # so that a run lasts until it is killed
    return [n, n * n, "x" * (n % 97)]


async def main(runner: Runner) -> None:
    async with runner.pool(work, 2, progress=False) as pool:
        async for result in pool.imap_unordered(range(int(os.environ["ITEMS"])), journal="run.journal"):
            append("seen", f"{result[0]}\\n")
        results = await pool.map(range(int(os.environ["ITEMS"])), journal="run.journal")
        assert results == [[n, n * n, "x" * (n % 97)] for n in range(int(os.environ["ITEMS"]))]


run(main)
"""
LONGEST = 60.0


class Run:
    """
    Runs of one program in a folder, one after the other.

    Args:
        folder: where its files are.
        items: how many items it has.
    """

    def __init__(self, folder: Path, items: int) -> None:
        self.folder = folder
        self.numbers = {codec.digest([n]): n for n in range(items)}
        self.count = 0
        (folder / "main.py").write_text(PROGRAM)

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the program, its calls marked with the number of this run."""
        self.count += 1
        variables = {"RUN": str(self.count), "ITEMS": str(len(self.numbers))}
        return subprocess.Popen(
            [sys.executable, "main.py"], cwd=self.folder, env=ENVIRONMENT | variables, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def written(self) -> set[int]:
        """Return the items whose results are in the journal, which no run has open."""
        path = self.folder / "run.journal"
        if not path.exists():
            return set()
        with path.open("rb") as file:
            if not check_header("", file.read(len(HEADER))):
                return set()
            records = [found.record for found in scan("", file, path.stat().st_size)]
        items = [self.numbers[record.key] for record in records if isinstance(record, ResultHead)]
        assert len(items) == len(set(items)), "a result was written twice"
        return set(items)

    def calls(self) -> list[tuple[int, int]]:
        """Return all calls: the number of the run, and the item."""
        return [(int(run), int(n)) for run, n in (line.split() for line in self._lines("calls"))]

    def seen(self) -> set[int]:
        """Return the items whose results a run has received."""
        return {int(line) for line in self._lines("seen")}

    def _lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().split("\n")[:-1] if path.exists() else []


def _kill_after_growth(process: "subprocess.Popen[bytes]", journal: Path, growth: int, pause: float) -> None:
    """Kill a runner when its journal has grown by so many bytes, and a pause has passed; unless it ends before."""
    begin = journal.stat().st_size if journal.exists() else 0
    deadline = time.monotonic() + LONGEST
    while process.poll() is None and (journal.stat().st_size if journal.exists() else 0) < begin + growth:
        assert time.monotonic() < deadline, "the run makes no progress"
        time.sleep(0.002)
    time.sleep(pause)
    process.send_signal(signal.SIGKILL)


@deep
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(repeats(1, 4)))
def test_a_killed_run_loses_nothing_and_makes_no_call_twice(tmp_path: Path, seed: int) -> None:
    kills, items = repeats(8, 50), repeats(1000, 6000)
    generator = random.Random(seed)
    runs = Run(tmp_path, items)
    journal = tmp_path / "run.journal"
    killed = 0
    first_written: dict[int, int] = {}  # by item: the run after which its result was in the journal
    for _ in range(kills):
        with runs.start() as process:
            if generator.random() < 0.2:  # while it starts, or opens the journal
                time.sleep(generator.uniform(0.0, 0.8))
                process.send_signal(signal.SIGKILL)
            else:
                _kill_after_growth(process, journal, generator.randrange(1, 6000), generator.uniform(0.0, 0.004))
            _, errors = process.communicate(timeout=LONGEST)
        assert process.returncode in (0, -signal.SIGKILL), errors.decode()
        killed += process.returncode == -signal.SIGKILL
        written = runs.written()
        for item in written:
            first_written.setdefault(item, runs.count)
        assert set(first_written) == written, "a result is no longer there"
        assert runs.seen() <= written, "a run had received a result that was not written"
    with runs.start() as process:
        _, errors = process.communicate(timeout=LONGEST)
    assert process.returncode == 0, errors.decode()
    assert runs.written() == runs.seen() == set(range(items))
    calls = runs.calls()
    assert max(Counter(calls).values()) == 1, "one run has made a call twice"
    again = [(run, item) for run, item in calls if run > first_written.get(item, runs.count)]
    assert not again, "calls whose results were written were made again"
    assert killed >= 2 * kills // 3
