"""An engine whose launchers and workers are simulated by a few processes; what the runner does for them is real."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from aioparcs.address import Address
from aioparcs.engine import Job, LauncherState, Placement, WorkerGroup, WorkerSpec
from aioparcs.transport import Listener, listen
from benchmarks.harness import ROOT

__all__ = ["SimulatedEngine"]

_FIRST_SLOT = 1 << 20  # below are those of another engine, see `benchmarks.simulation.tree`
_PATIENCE = 60.0  # seconds for a process to end


class SimulatedEngine:
    """
    Runs launchers in a few processes, see `benchmarks.simulation.process`.

    Args:
        processes: how many.
        per_launcher: workers of each launcher.
        core: the core that all of them use, before other programs if that is allowed; None for any.
    """

    def __init__(self, processes: int, per_launcher: int, core: int | None = None) -> None:
        self._core = core
        self._count = processes
        self._per_launcher = per_launcher
        self._processes: list[asyncio.subprocess.Process] = []
        self._reading: list[asyncio.Task[None]] = []
        self._ends: dict[int, asyncio.Future[None]] = {}  # by slot

    @property
    def pids(self) -> list[int]:
        """The processes."""
        return [process.pid for process in self._processes]

    async def listen(self, on_connect: Callable[[Any, Any], Awaitable[None]], *, tls: bool) -> Listener:
        """Listen on TCP, as the runner of a Swarm does."""
        return await listen(Address("tcp", "127.0.0.1", 0), on_connect, tls=tls)

    async def open(self, job: Job) -> None:
        """Start the processes."""
        core = () if self._core is None else (str(self._core),)
        for _ in range(self._count):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.simulation.process", str(job.address), job.id, job.token.hex()),
                *core,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd=ROOT,
            )
            self._processes.append(process)
            self._reading.append(asyncio.create_task(self._read(process)))

    async def default_size(self, spec: WorkerSpec) -> int:
        """Return how many workers a launcher has."""
        return self._per_launcher

    async def start(self, spec: WorkerSpec, first: int, count: int) -> WorkerGroup:
        """Start launchers for the workers, in turn in each process."""
        placements = []
        for at in range(0, count, self._per_launcher):
            slot = _FIRST_SLOT + len(self._ends)
            self._ends[slot] = asyncio.get_running_loop().create_future()
            self._write(slot)
            placements.append(Placement(slot, first + at, min(self._per_launcher, count - at)))
        return WorkerGroup(spec, first, count, tuple(placements))

    async def states(self, group: WorkerGroup) -> AsyncIterator[LauncherState]:
        """Yield that each launcher runs, then that it has ended."""
        slots = [placement.launcher for placement in group.placements]
        for slot in slots:
            yield LauncherState(slot, "running")
        ended: asyncio.Queue[int] = asyncio.Queue()
        for slot in slots:
            self._ends[slot].add_done_callback(partial(_put, ended, slot))
        for _ in slots:
            yield LauncherState(await ended.get(), "gone", "ended with exit code 0", 0)

    async def address(self, launcher: int) -> Address:
        """Raise an error: no service here is the original's."""
        raise NotImplementedError("a simulated launcher has no address: it runs no service of the original")

    def poll_now(self) -> None:
        """Do nothing: ends are noticed at once."""

    async def stop(self, group: WorkerGroup) -> None:
        """Do nothing: the end of the job closes the connections of all launchers."""

    async def release(self, group: WorkerGroup) -> None:
        """Do nothing: the processes serve other groups."""

    async def post_mortem(self, launcher: int) -> tuple[str, ...]:
        """Return nothing: launchers print nothing here."""
        return ()

    async def aclose(self) -> None:
        """End the processes."""
        for process in self._processes:
            assert process.stdin
            process.stdin.close()
        for process in self._processes:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        await asyncio.gather(*self._reading)

    def _write(self, slot: int) -> None:
        process = self._processes[slot % len(self._processes)]
        assert process.stdin
        process.stdin.write(f"{slot}\n".encode())

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        async for line in process.stdout:
            self._ends[int(line)].set_result(None)


def _put(queue: asyncio.Queue[int], slot: int, _ended: asyncio.Future[None]) -> None:
    queue.put_nowait(slot)
