"""Tells what its process is, and does what processes should not."""

import os
import resource
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from aioparcs import serve

LOADED_BY = os.getpid()


def who() -> list[int]:
    return [os.getpid(), os.getppid(), LOADED_BY]


def spin(path: str) -> None:
    Path(path).touch()
    while True:
        pass


def run_beside(command: list[str], session: bool) -> int:
    return subprocess.Popen(command, start_new_session=session).pid


def run_orphan(seconds: float) -> int:
    return int(subprocess.check_output(["sh", "-c", f"sleep {seconds} >/dev/null & echo $!"]))


def allocate(size: int) -> int:
    return len(bytearray(size))


def cpus() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def burn(threads: int, seconds: float) -> list[float]:
    """Keep threads busy outside the interpreter's lock; returns CPU seconds and seconds that passed."""
    block = b"x" * (1 << 20)
    end = time.monotonic() + seconds

    def work() -> None:
        import zlib

        while time.monotonic() < end:
            zlib.crc32(block)

    begun, used = time.monotonic(), time.process_time()
    running = [threading.Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return [time.process_time() - used, time.monotonic() - begun]


def descriptors() -> list[str]:
    return sorted(os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if int(name) < 3)


def limits() -> list[int]:
    return [resource.getrlimit(resource.RLIMIT_NOFILE)[0], resource.getrlimit(resource.RLIMIT_DATA)[0]]


def print_lines(lines: list[str]) -> None:
    print(*lines, sep="\n")


def environ() -> dict[str, Any]:
    return dict(os.environ)


serve(who, spin, run_beside, run_orphan, allocate, cpus, burn, descriptors, limits, print_lines, environ)
