"""The checks of this machine, on which programs run without a cluster, each with advice for what is missing."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import resource
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterable
from importlib.metadata import PackageNotFoundError, requires, version

import aioparcs
from aioparcs import ParcsError, Runner
from aioparcs.engine.checks import Check, CheckState
from aioparcs.events import EventBus, program_events
from aioparcs.settings import VERSION
from aioparcs.shared.memory import open_memory
from aioparcs.transport.files import file_limit, raise_file_limit

__all__ = ["examine_machine"]

_NEWEST = (3, 14)  # of Python, with which the tests run
_FEW_FILES = 1024
_SMALL = 256 << 20  # bytes of /dev/shm
_PATIENCE = 30.0  # seconds for a worker


async def examine_machine() -> AsyncIterator[Check]:
    """Check this machine; yield each check as soon as it is done. On another system than Linux only the first."""
    if sys.platform != "linux":
        advice = "run it in a container or a virtual machine with Linux, or aioparcs run --on swarm from here"
        yield Check("system", CheckState.FAILED, f"workers need Linux, and this is {sys.platform}", advice)
        return
    yield Check("system", CheckState.OK, f"Linux {platform.release()}, {platform.machine()}")
    yield _python()
    yield _packages(requires("aioparcs") or ())
    yield _event_loop()
    raise_file_limit()  # as a runner does
    yield _files()
    yield _memory()
    yield _shm("/dev/shm")
    yield _terminal()
    yield await _worker()
    advice = "LEADER_URL=tcp://HOST:PORT aioparcs doctor checks one, HOST being a manager of a Docker Swarm"
    yield Check("cluster", CheckState.OK, f"no cluster is named, and none is needed on one machine; {advice}")


def _python() -> Check:
    text = f"Python {platform.python_version()} ({sys.executable}), aioparcs {VERSION} ({aioparcs.__path__[0]})"
    if sys.version_info[:2] > _NEWEST:
        newest = ".".join(map(str, _NEWEST))
        return Check("python", CheckState.WARNING, f"{text}: not tested", f"use Python 3.11 to {newest}")
    return Check("python", CheckState.OK, text)


def _packages(requirements: Iterable[str]) -> Check:
    found, missing = [], []
    for requirement in requirements:
        name = re.split(r"[^\w.-]", requirement)[0]
        if ";" not in requirement:  # of an extra, or for some systems
            try:
                found.append(f"{name} {version(name)}")
            except PackageNotFoundError:
                missing.append(name)
    if missing:
        advice = f"{os.path.basename(sys.executable)} -m pip install {' '.join(missing)}"
        return Check("packages", CheckState.FAILED, f"not installed: {', '.join(missing)}", advice)
    return Check("packages", CheckState.OK, ", ".join(found))


def _event_loop() -> Check:
    try:
        import uvloop  # the one thing that is to be found out
    except ImportError as error:
        text = f"asyncio's own, which is slower: uvloop can't be loaded ({error})"
        return Check(
            "event loop", CheckState.WARNING, text, f"{os.path.basename(sys.executable)} -m pip install uvloop"
        )
    return Check("event loop", CheckState.OK, f"uvloop {version(uvloop.__name__)}")


def _files() -> Check:
    limit = file_limit()
    if limit == resource.RLIM_INFINITY or limit >= _FEW_FILES:
        return Check("open files", CheckState.OK, f"{limit} (ulimit -n): a runner has one for each worker")
    advice = f"ulimit -Hn {_FEW_FILES * 64} as root, or nofile in /etc/security/limits.conf, or LimitNOFILE= of systemd"
    return Check("open files", CheckState.WARNING, f"only {limit} (ulimit -n), one for each worker", advice)


def _memory() -> Check:
    try:
        os.close(open_memory(4096))
    except OSError as error:
        text = f"memfd_create fails ({error}): arrays are copied for each worker"
        return Check("memory", CheckState.WARNING, text, "let the sandbox or container allow memfd_create")
    return Check("memory", CheckState.OK, "memfd_create works: workers share arrays without copies")


def _shm(folder: str) -> Check:
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        text = f"there is none ({error.strerror}): multiprocessing in your functions needs it"
        return Check("/dev/shm", CheckState.WARNING, text, "mount -t tmpfs tmpfs /dev/shm")
    text = f"{usage.free >> 20} of {usage.total >> 20} MiB are free"
    if usage.free < _SMALL:
        advice = "remove old files there; in a container, docker run --shm-size 1g"
        return Check("/dev/shm", CheckState.WARNING, f"{text}: multiprocessing in your functions needs it", advice)
    return Check("/dev/shm", CheckState.OK, text)


def _terminal() -> Check:
    kind = os.environ.get("TERM", "")
    if not sys.stderr.isatty():
        return Check("terminal", CheckState.OK, "none: progress is shown in lines")
    if kind in ("", "dumb", "unknown"):
        text = f"TERM={kind} has no live display: progress is shown in lines"
        return Check("terminal", CheckState.WARNING, text, "export TERM=xterm-256color")
    return Check("terminal", CheckState.OK, f"{kind}, {shutil.get_terminal_size().columns} columns: a live display")


async def _worker() -> Check:
    program_events.set(EventBus())  # silent: what it is about is in the check
    begun = time.perf_counter()
    try:
        async with (
            asyncio.timeout(_PATIENCE),
            Runner(engine="local") as runner,
            runner.pool(platform.python_version, 1) as pool,
        ):
            await pool.submit()
    except (ParcsError, OSError, TimeoutError) as error:
        text = str(error).partition("\n")[0] or f"no answer in {_PATIENCE:.0f} s"
        return Check(
            "worker", CheckState.FAILED, f"none can be started: {text}", "aioparcs demo shows all that it prints"
        )
    return Check("worker", CheckState.OK, f"started, and answered after {time.perf_counter() - begun:.2f} s")
