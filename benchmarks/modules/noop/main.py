"""Functions that do next to nothing: what is left is the call."""

import os
import time

from aioparcs import serve


def noop(number: int) -> int:
    """Return the next number, so that every answer differs."""
    return number + 1


def pause(number: int) -> tuple[int, str, int]:
    """Wait for 10 ms, and return the next number and where that was."""
    time.sleep(0.010)
    return number + 1, os.uname().nodename, os.getpid()


serve(noop, pause)
