"""What a worker process does between its fork and its program."""

from __future__ import annotations

import ctypes
import logging
import os
import random
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from aioparcs.auth import new_nonce, proof

__all__ = ["become_worker", "die_with_parent", "free_cpus", "run", "warm_up"]

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: a child should do as little as possible.
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, and end if it has ended already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def warm_up() -> None:
    """Do once, before any fork, what each worker would do for itself otherwise, with memory and time of its own."""
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    proof(b"", "", b"")  # has OpenSSL load its digests
    new_nonce()


def become_worker(parent: int, output: int, limits: Mapping[str, Any], worker: int) -> None:
    """
    Make a forked process a worker of its own.

    Args:
        parent: the process id of the launcher.
        output: the descriptor that standard output and standard error go to.
        limits: ``cpus`` (whole ones) and ``memory`` (bytes), or neither.
        worker: the worker's number; it spreads limited workers over the CPUs.
    """
    os.setpgid(0, 0)
    die_with_parent(parent)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(nothing)
    _limit(limits, worker)
    _reseed()


def run(program: Callable[[], int]) -> int:
    """Run a forked worker's program with line-buffered output; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # these two are text streams
    code = program()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code


def free_cpus(worker: int, count: int) -> set[int]:
    """Choose ``count`` of this process's CPUs for a worker, so that its neighbours get others."""
    allowed = sorted(os.sched_getaffinity(0))
    return {allowed[(worker * count + i) % len(allowed)] for i in range(count)}


def _limit(limits: Mapping[str, Any], worker: int) -> None:
    if "cpus" in limits:
        os.sched_setaffinity(0, free_cpus(worker, int(limits["cpus"])))
    if "memory" in limits:
        # Data, not address space: what is mapped but private to nobody, such as libraries, is no one's memory.
        resource.setrlimit(resource.RLIMIT_DATA, (limits["memory"], limits["memory"]))


def _reseed() -> None:
    """Give this process random numbers of its own; a fork would repeat its neighbour's."""
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(int.from_bytes(os.urandom(4), "big"))
