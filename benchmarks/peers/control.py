"""
The protocol between a measured program and the harness: lines on its standard input and output.

The serving program prints its port, serves one connection and ends with it. The driving program prints ``ready``
once it is connected; then each line ``COUNT CHECK`` on its input is one round, answered by the seconds that it
took. The end of its input ends it, and so its connection and its partner.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress


class WrongMessage(Exception):
    """A message did not arrive as it was sent, so that its timing means nothing."""


def expect(true: bool, what: str) -> None:
    """
    Go on if ``true``.

    Raises:
        WrongMessage: it is not.
    """
    if not true:
        raise WrongMessage(what)


def place(core: int) -> None:
    """Run on this core alone from now on, the last one if there are not so many; before other programs if allowed."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[min(core, len(cores) - 1)]})
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def announce(port: int) -> None:
    """Print this program's port, for the harness."""
    print(port, flush=True)


def rounds() -> Iterator[tuple[int, bool]]:
    """Yield each round that the harness requests: how many messages, and whether to compare every one."""
    print("ready", flush=True)
    for line in sys.stdin:
        count, check = line.split()
        yield int(count), check == "1"


def took(seconds: float) -> None:
    """Print a round's seconds, as the answer to the harness."""
    print(repr(seconds), flush=True)


def main(serve: Callable[[str], None], drive: Callable[[str, int], None]) -> None:
    """Run as ``serve MODE`` or as ``drive MODE PORT``."""
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        drive(sys.argv[2], int(sys.argv[3]))
