"""
Runs histories, and prints those that are wrong: ``python -m tests.simulation --seed 1 --histories 1000``.

Each runs again by its seed alone: ``--seed 77 --histories 1 --verbose``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from tests.simulation.loop import clock

if TYPE_CHECKING:  # what it imports is to find the virtual clock
    from tests.simulation.run import Outcome

_COMMAND = (sys.executable, "-m", "tests.simulation")


class Counts(NamedTuple):
    """What some histories were."""

    histories: int = 0
    items: int = 0
    calls: int = 0
    faults: int = 0
    wrong: int = 0
    digest: int = 0

    def plus(self, outcome: Outcome) -> Counts:
        """Return the counts with one history more."""
        history = outcome.history
        return Counts(
            self.histories + 1,
            self.items + history.invoked,
            self.calls + sum(map(len, history.begun.values())),
            self.faults + history.faults.total(),
            self.wrong + bool(outcome.problems),
            self.digest ^ int(history.digest(), 16),
        )


def main() -> int:
    """Run the histories that the arguments say; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, default=1, help="that of the first history; those of the others follow it")
    parser.add_argument("--histories", type=int, default=300)
    parser.add_argument("--step", type=int, default=1, help="from each seed to the next")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no history after so many")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--stop", type=int, default=3, help="end after so many that are wrong")
    parser.add_argument("--verbose", action="store_true", help="print all that happens")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    arguments = parser.parse_args()
    begun = perf_counter()
    counts = _share_out(arguments) if arguments.processes > 1 else _run(arguments)
    if arguments.json:
        print(json.dumps(counts))
    else:
        seconds, busy = perf_counter() - begun, sum(os.times()[:4])
        print(
            f"{counts.histories} histories in {seconds:.0f} s ({busy:.0f} s of processors) with {counts.items} items, "
            f"{counts.calls} calls and {counts.faults} faults: {counts.wrong} wrong; digest {counts.digest:016x}"
        )
    return min(counts.wrong, 1)


def _share_out(arguments: argparse.Namespace) -> Counts:
    """Run the histories in several processes."""
    count = arguments.processes
    running = []
    for turn in range(count):
        mine = arguments.histories // count + (turn < arguments.histories % count)
        own = {"seed": arguments.seed + turn, "step": count, "histories": mine, "stop": arguments.stop}
        options = [f"--{name}={value}" for name, value in (own | {"seconds": arguments.seconds}).items()]
        running.append(subprocess.Popen([*_COMMAND, *options, "--json"], stdout=subprocess.PIPE, text=True))
    sums = [0] * len(Counts._fields)
    for process in running:
        output, _ = process.communicate()
        *lines, last = output.splitlines() or [""]
        print(*lines, sep="\n", end="\n" if lines else "")
        counts = json.loads(last)
        sums = [*map(sum, zip(sums[:-1], counts[:-1], strict=True)), sums[-1] ^ counts[-1]]
    return Counts(*sums)


def _run(arguments: argparse.Namespace) -> Counts:
    clock.install()
    from tests.simulation.run import install, simulate

    install()
    counts, begun = Counts(), perf_counter()
    for turn in range(arguments.histories):
        outcome = simulate(arguments.seed + turn * arguments.step)
        counts = counts.plus(outcome)
        if outcome.problems or arguments.verbose:
            _show(outcome)
        if counts.wrong >= arguments.stop or perf_counter() - begun > arguments.seconds:
            break
    return counts


def _show(outcome: Outcome) -> None:
    print(f"--- seed {outcome.seed}: {outcome.steps} steps, {outcome.seconds:.2f} s of virtual time")
    print(outcome.program, *outcome.history.events, *outcome.problems, sep="\n")


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets of texts is to be the same in each run
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [*_COMMAND, *sys.argv[1:]])
    sys.exit(main())
