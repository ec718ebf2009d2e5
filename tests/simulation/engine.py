"""The engine of simulated launchers, which keeps one for later starts, as on one machine, or makes new ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aioparcs.address import Address
from aioparcs.engine import Job, LauncherState, Placement, WorkerGroup, WorkerSpec
from aioparcs.errors import StartError, signal_name
from aioparcs.launcher.context import RunnerEndpoint
from tests.simulation.history import History
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Network, SimulatedListener
from tests.simulation.processes import Launcher

__all__ = ["SimulatedEngine"]

_KILLED, _STOPPED = 5.0, 10.0  # seconds until a manager knows of a lost node; until a container is removed


class SimulatedEngine:
    """
    Runs launchers on some machines.

    Args:
        loop: runs them.
        network: connects them.
        history: gets what their workers do.
        machines: where they are; one of them is enough for an engine that keeps its launchers.
        keeps: whether one launcher serves all starts of a module.

    Attributes:
        launchers: by slot.
        lost: the machines that are gone for good.
    """

    def __init__(
        self, loop: VirtualLoop, network: Network, history: History, machines: list[str], *, keeps: bool
    ) -> None:
        self.launchers: dict[int, Launcher] = {}
        self.lost: set[str] = set()
        self._loop = loop
        self._network = network
        self._history = history
        self._machines = machines
        self._keeps = keeps
        self._kept: dict[str, int] = {}
        self._turn = 0
        self._is_closed = False
        self._job: Job
        self._poll = asyncio.Event()

    async def listen(self, on_connect: Callable[[Any, Any], Awaitable[None]], *, tls: bool) -> Any:
        listener: SimulatedListener = self._network.listen(on_connect)
        return listener

    async def open(self, job: Job) -> None:
        await asyncio.sleep(self._pause())
        self._job = job

    async def default_size(self, spec: WorkerSpec) -> int:
        return 2

    async def start(self, spec: WorkerSpec, first: int, count: int) -> WorkerGroup:
        await asyncio.sleep(self._pause())
        if self._is_closed:
            raise StartError(spec.module, "its runner has ended")
        if self._keeps:
            slot = self._kept.get(spec.module)
            if slot is None or self.launchers[slot].exited.done():
                slot = self._kept[spec.module] = self._launch(spec)
            placements: tuple[Placement, ...] = (Placement(slot, first, count),)
        else:
            size = spec.per_container or max(1, -(-count // len(self._machines)))
            placements = tuple(
                Placement(self._launch(spec), first + at, min(size, count - at)) for at in range(0, count, size)
            )
        return WorkerGroup(spec, first, count, placements)

    def _launch(self, spec: WorkerSpec) -> int:
        slot, job = len(self.launchers), self._job
        standing = [one for one in self._machines if one not in self.lost]
        machine = standing[self._turn % len(standing)]
        self._turn += 1
        endpoint = RunnerEndpoint(job.address, job.id, slot, job.token, None)
        is_conversing = spec.module == "talk"
        parts = self._loop, self._network, machine, endpoint, job.settings, self._history
        launcher = self.launchers[slot] = Launcher(*parts, is_conversing=is_conversing)
        launcher.start()
        return slot

    def may_lose(self, machine: str) -> bool:
        """Return whether another machine is left without this one."""
        return len(set(self._machines) - self.lost - {machine}) > 0

    def _pause(self) -> float:
        return self._loop.random.random() * (0.01 if self._keeps else 0.2)

    async def states(self, group: WorkerGroup) -> AsyncIterator[LauncherState]:
        slots = [placement.launcher for placement in group.placements]
        for slot in slots:
            yield LauncherState(slot, "running", node="" if self._keeps else self.launchers[slot].machine)
        left = dict.fromkeys(slots)
        while left:
            for slot in list(left):
                launcher = self.launchers[slot]
                if launcher.exited.done() and launcher.machine not in self.lost:
                    del left[slot]
                    code = launcher.exited.result()
                    how = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
                    yield LauncherState(slot, "gone", how, code)
                elif launcher.machine in self.lost:
                    del left[slot]
                    await asyncio.sleep(self._loop.random.random() * 2 * _KILLED)
                    yield LauncherState(slot, "gone", f"was on {launcher.machine}, which is down")
            if left:
                await self._wait(left)

    async def _wait(self, left: dict[int, None]) -> None:
        """Wait until a launcher has ended, as it is noticed here, at once or by the next poll."""
        if self._keeps:
            await asyncio.wait([self.launchers[slot].exited for slot in left], return_when=asyncio.FIRST_COMPLETED)
            return
        try:
            async with asyncio.timeout(1.0):
                await self._poll.wait()
        except TimeoutError:
            pass
        self._poll.clear()

    async def address(self, launcher: int) -> Address:
        raise NotImplementedError("a simulated launcher has no address: it runs no service of the original")

    def poll_now(self) -> None:
        self._poll.set()

    async def stop(self, group: WorkerGroup) -> None:
        await asyncio.sleep(self._pause())
        for placement in group.placements:
            self._stop(placement.launcher)

    def _stop(self, slot: int) -> None:
        launcher = self.launchers[slot]
        for module, kept in list(self._kept.items()):
            if kept == slot:
                del self._kept[module]
        if self._keeps:
            launcher.server.kill()
        elif launcher.machine not in self.lost and not self._network.is_cut(launcher.machine, "home"):
            launcher.server.call(launcher.terminate)
            self._loop.later(3.0, launcher.server.kill)

    async def release(self, group: WorkerGroup) -> None:
        await asyncio.sleep(self._pause())
        if not self._keeps:
            for placement in group.placements:
                self._stop(placement.launcher)

    async def post_mortem(self, launcher: int) -> tuple[str, ...]:
        await asyncio.sleep(self._pause())
        return ()

    async def aclose(self) -> None:
        self._is_closed = True
        running = [one.exited for one in self.launchers.values() if one.machine not in self.lost]
        if self._keeps and running:
            await asyncio.wait(running, timeout=3.0)
        for slot in self.launchers:
            self._stop(slot)
        if running:
            await asyncio.wait(running, timeout=_STOPPED)
