"""The local engine: one launcher for each module, environment and interpreter."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from aioparcs.address import Address
from aioparcs.engine import Job, LauncherState, Placement, WorkerGroup, WorkerSpec
from aioparcs.errors import StartError, signal_name
from aioparcs.launcher import Home, pass_token
from aioparcs.local.environments import Environments
from aioparcs.local.modules import find_module, module_folders
from aioparcs.local.process import Process
from aioparcs.transport import Listener, listen

__all__ = ["LocalEngine"]

_V1_PORT = 4444
# The original insists on the variable, and connects to it only when a service starts services.
_V1_LEADER = "tcp://127.0.0.1:4321"
# Seconds that a launcher gets to end by itself when the job is over, after what the runner has given it.
_LAST_GRACE = 3.0

_Key = tuple[Path, tuple[tuple[str, str], ...], str]


class LocalEngine:
    """
    Runs launchers as processes of this machine.

    Sockets are in the abstract namespace, the token goes through a pipe, and each process is tied to the
    runner's life by the kernel: whatever happens, no file and no process stays behind.

    Args:
        modules: the folders that hold modules; see `module_folders` for the default.
    """

    def __init__(self, modules: list[Path] | None = None) -> None:
        self._folders = modules if modules is not None else module_folders()
        self._processes: list[Process] = []
        self._launchers: dict[_Key, int] = {}
        self._v1: Process | None = None
        self._environments = Environments()
        self._closed = False
        self._job: Job

    async def listen(self, on_connect: Callable[[Any, Any], Awaitable[None]], *, tls: bool) -> Listener:
        """Listen on an abstract Unix socket."""
        return await listen(Address("unix", "@"), on_connect, tls=tls)

    async def open(self, job: Job) -> None:
        """Begin a job."""
        self._job = job

    async def start(self, spec: WorkerSpec, first: int, count: int) -> WorkerGroup:
        """
        Have workers placed: by a launcher that runs already, or a new one.

        Raises:
            StartError: there is no such module, its requirements can't be installed, or a limit can't be kept.
        """
        folder = find_module(spec.module, self._folders, spec.folder)
        _check_limits(spec)
        python = await self._environments.interpreter(folder, self._job.observer)
        if self._closed:
            raise StartError(spec.module, "its runner has ended")
        if spec.wire == "v1":
            slot = self._start_v1(spec, folder, python, count)
        else:
            slot = self._launcher(spec, folder, python)
        placement = Placement(slot, first, count, spec.limits)
        return WorkerGroup(spec, first, count, (placement,))

    async def states(self, group: WorkerGroup) -> AsyncIterator[LauncherState]:
        """Tell what becomes of the group's launchers."""
        for placement in group.placements:
            yield LauncherState(placement.launcher, "running")
        for placement in group.placements:
            code = await asyncio.shield(self._processes[placement.launcher].exited)
            how = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
            yield LauncherState(placement.launcher, "gone", how, code)

    async def address(self, launcher: int) -> Address:
        """Tell where a service of the original PARCS listens."""
        return Address("tcp", "127.0.0.1", _V1_PORT)

    def look(self) -> None:
        """Do nothing: the end of a process is noticed at once."""

    async def stop(self, group: WorkerGroup) -> None:
        """Kill the group's launchers, and their workers with them."""
        for placement in group.placements:
            self._processes[placement.launcher].kill()

    async def release(self, group: WorkerGroup) -> None:
        """Keep them: a launcher's next workers are forked from what it has loaded."""

    async def post_mortem(self, launcher: int) -> tuple[str, ...]:
        """The last lines that a launcher itself printed."""
        return self._processes[launcher].last

    async def aclose(self) -> None:
        """Wait for all processes to end; kill those that don't."""
        self._closed = True
        await self._environments.aclose()
        if self._v1:
            self._v1.kill()
        await asyncio.gather(*(process.wait(_LAST_GRACE) for process in self._processes))

    def _launcher(self, spec: WorkerSpec, folder: Path, python: str) -> int:
        """Find the launcher's slot, or start one."""
        key = (folder, tuple(sorted(spec.env.items())), python)
        slot = self._launchers.get(key)
        if slot is None or self._processes[slot].exited.done():
            home = Home(self._job.address, self._job.id, len(self._processes), self._job.token, None)
            slot = self._launchers[key] = self._spawn(spec, folder, python, home)
        return slot

    def _start_v1(self, spec: WorkerSpec, folder: Path, python: str, count: int) -> int:
        if count > 1 or (self._v1 and not self._v1.exited.done()) or not _is_free(_V1_PORT):
            raise StartError(
                spec.module,
                f"the original wire has one port, {_V1_PORT}, and on one machine one worker at a time can have it; "
                "shut the other one down first",
            )
        slot = self._spawn(spec, folder, python, None)
        self._v1 = self._processes[slot]
        return slot

    def _spawn(self, spec: WorkerSpec, folder: Path, python: str, home: Home | None) -> int:
        """Start a launcher, or without a home a service of the original PARCS; returns its slot."""
        job = self._job
        try:
            token = pass_token(job.token) if home else None
            leader = {} if home else {"LEADER_URL": os.environ.get("LEADER_URL", _V1_LEADER)}
            variables = home.to_env(token) if home and token else {}
            process = Process(
                [python, str(folder / "main.py")],
                folder,
                {**os.environ, **leader, **job.settings.to_env(), **spec.env, **variables},
                inherit=token,
                keep=job.settings.last_lines,
                on_line=lambda line: job.observer.output(spec.module, None, line),
            )
        except OSError as error:
            raise StartError(spec.module, f"can't run {python}: {error.strerror}") from error
        self._processes.append(process)
        return len(self._processes) - 1


def _check_limits(spec: WorkerSpec) -> None:
    """Refuse what Linux doesn't enforce for an ordinary user."""
    available = len(os.sched_getaffinity(0))
    if spec.cpus is not None and (spec.cpus != int(spec.cpus) or spec.cpus > available):
        raise StartError(
            spec.module,
            f"cpus={spec.cpus:g}: the local engine assigns whole CPUs, and this program may use {available}",
        )
    if spec.gpus:
        raise StartError(
            spec.module,
            f"gpus={spec.gpus}: the local engine assigns no GPUs; without it, workers see all that there are",
        )


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("", port))
        except OSError:
            return False
        return True
