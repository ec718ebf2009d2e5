"""
Run the measured programs, each in a process of its own, and take turns between them.

The machine changes its speed under a benchmark (other programs, clock rates), so two programs are never measured one
after the other but round by round, in adjacent pairs whose order alternates; what is reported of a comparison is the
median of the pairs' ratios. Every few pairs the programs start afresh, because a process keeps its luck with memory
layout and scheduling for life. Each fresh start begins with a round in which every message is compared.

The two processes of a pair have a core each, as a runner and a worker have in real life. Left alone, the kernel puts
them on one core or on two as it likes, for seconds at a time, and a small round trip takes four times as long on two:
the ratio of two contenders would tell where the kernel had put them.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

ROOT = Path(__file__).parent.parent
_PATIENCE = 60.0  # seconds for one answer; the slowest round takes about one
_GENERATION = 5  # pairs between two fresh starts

_Taken = TypeVar("_Taken")  # what is measured of a round
Progress = Callable[[int, int], None]
"""Called between rounds with how many are done and how many there will be."""


class ProgramFailed(Exception):
    """A measured program ended, or hung, or found a message that differs."""


class Program:
    """One process and the lines that it writes, each within ``patience`` seconds; its errors go to this program's."""

    def __init__(self, *command: str, core: int | None = None, patience: float = _PATIENCE, **environment: str) -> None:
        self.name = " ".join(command)
        self._patience = patience
        self._process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**_environment(), **environment},
        )
        if core is not None:  # long before it is ready: it still has Python to load
            os.sched_setaffinity(self._process.pid, {core})

    @property
    def pid(self) -> int | None:
        """The process, None once it has ended."""
        return self._process.pid if self._process.poll() is None else None

    def ask(self, line: str) -> str:
        """Write a line and read the answer."""
        assert self._process.stdin
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ProgramFailed(f"{self.name} ended early") from None
        return self.line()

    def line(self) -> str:
        """
        Read a line.

        Raises:
            ProgramFailed: there is none.
        """
        assert self._process.stdout
        if not select.select([self._process.stdout], [], [], self._patience)[0]:
            raise ProgramFailed(f"{self.name} did not answer within {self._patience:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise ProgramFailed(f"{self.name} ended with exit code {self._process.wait()}")
        return line.strip()

    def close(self) -> None:
        """
        End its input and wait for its end.

        Raises:
            ProgramFailed: it ended with an error, or not at all and was killed.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        # The end of its output is the end of the process. wait() with a timeout would look only every 50 ms.
        if not select.select([self._process.stdout], [], [], self._patience)[0]:
            self.kill()
            raise ProgramFailed(f"{self.name} did not end")
        self._process.stdout.close()
        code = self._process.wait()
        if code:
            raise ProgramFailed(f"{self.name} ended with exit code {code}")

    def kill(self) -> None:
        """End it at once, unless it has ended."""
        self._process.kill()
        with suppress(BrokenPipeError), self._process:  # a line that it has not read
            pass


def _environment() -> dict[str, str]:
    """Return the variables of a measured program, read again: a cluster may have been brought up meanwhile."""
    # An installed package has its bytecode compiled; a checkout must be allowed to keep its own.
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class Contender(NamedTuple):
    """A way to move messages: the module that does it, and how much it does in a round."""

    module: str
    mode: str
    timed: int  # messages of a timed round
    checked: int  # messages of a round that compares every one

    def __str__(self) -> str:
        return f"{self.module.removeprefix('benchmarks.peers.')} {self.mode}"


class Pair:
    """The two processes of a contender, connected to each other; a context manager that ends them."""

    def __init__(self, contender: Contender, *, one_core: bool = False) -> None:
        self._contender = contender
        cores = sorted(os.sched_getaffinity(0))
        module = f"benchmarks.peers.{contender.module}"
        with ExitStack() as stack:
            self._server = Program("-m", module, "serve", contender.mode, core=cores[0])
            stack.callback(self._server.kill)
            port, core = self._server.line(), cores[0 if one_core else -1]
            self._driver = Program("-m", module, "drive", contender.mode, port, core=core)
            stack.callback(self._driver.kill)
            if self._driver.line() != "ready":
                raise ProgramFailed(f"{contender} did not get ready")
            stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self._driver.close()
            self._server.close()
        else:
            self._driver.kill()
            self._server.kill()

    def check(self) -> float:
        """Run a round that compares every message."""
        return float(self._driver.ask(f"{self._contender.checked} 1"))

    def round(self) -> float:
        """Run a timed round, and return its seconds."""
        return float(self._driver.ask(f"{self._contender.timed} 0"))


def compare(
    ours: Contender, peer: Contender, rounds: int, progress: Progress, *, one_core: bool = False
) -> tuple[list[float], list[float]]:
    """
    Time two contenders in ``rounds`` adjacent pairs of rounds.

    Args:
        ours: the first contender.
        peer: the second.
        rounds: how many pairs.
        progress: called after each.
        one_core: have the two processes of a contender share a core, so that its time is the work of both.

    Returns:
        The seconds that one message took in each round, of ours and of the peer.
    """
    own_seconds: list[float] = []
    theirs: list[float] = []
    while len(own_seconds) < rounds:
        with Pair(ours, one_core=one_core) as a, Pair(peer, one_core=one_core) as b:
            for pair in a, b:
                pair.check()
                pair.round()  # warms up
            for _ in range(min(_GENERATION, rounds - len(own_seconds))):
                first, second = take_turns(len(own_seconds), a.round, b.round)
                own_seconds.append(first / ours.timed)
                theirs.append(second / peer.timed)
                progress(len(own_seconds), rounds)
    return own_seconds, theirs


def take_turns(turn: int, ours: Callable[[], _Taken], peer: Callable[[], _Taken]) -> tuple[_Taken, _Taken]:
    """Measure both, ours first on even turns, and give ours and the peer's."""
    if turn % 2:
        theirs = peer()
        return ours(), theirs
    own_seconds = ours()
    return own_seconds, peer()
