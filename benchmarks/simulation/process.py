"""
A process that is many launchers and their workers: ``ADDRESS JOB TOKEN``, and a slot on each line of its input.

Each launcher has a control connection to the runner and each worker a channel, over the real handshake. A worker is no
process here, only its end of the channel (see `Worker`). The process prints the slot of each launcher that has ended.
"""

from __future__ import annotations

import asyncio
import os
import sys

import uvloop

from aioparcs.address import Address
from aioparcs.auth import Hello, Role
from aioparcs.channel import FrameConnection, control_link, reach
from aioparcs.errors import EndOfChannel, ParcsError
from aioparcs.messages.launcher import ALL, Exited, Kill, Log, LogReceived, Start, Started, read_launcher_request
from aioparcs.settings import Settings
from aioparcs.transport import raise_file_limit
from benchmarks.peers import control
from benchmarks.simulation.worker import Worker

# Workers of this process that dial at once: those of a container, or of a machine, are that many, too.
_DIALLING = 64


class Runner:
    """What launchers know of their runner."""

    def __init__(self, address: str, job: str, token: str) -> None:
        self.address = Address.parse(address)
        self.job = job
        self.token = bytes.fromhex(token)
        self.settings = Settings.from_env()._replace(connect_timeout=60.0, handshake_timeout=60.0)
        self.dialling = asyncio.Semaphore(_DIALLING)

    async def dial(
        self, role: str, number: int, parent: str | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a connection to the runner, or to the service that is the parent, past its handshake."""
        address = Address.parse(parent) if parent else self.address
        hello = Hello.of(role, self.job, number, self.settings)
        async with self.dialling:
            reader, writer, _ = await reach(address, hello, self.token, self.settings)
        return reader, writer


class Launcher:
    """One launcher and its workers."""

    def __init__(self, runner: Runner, slot: int) -> None:
        self._runner = runner
        self._slot = slot
        self._workers: dict[int, Worker | None] = {}  # None while it dials
        self._tasks: set[asyncio.Task[None]] = set()
        self._exits: list[Exited] = []
        self._is_acknowledged = True
        self._is_over = False
        self._link: FrameConnection

    async def run(self) -> None:
        """Serve the runner until it ends the job, or is gone."""
        self._link = control_link(*await self._runner.dial(Role.LAUNCHER, self._slot), self._runner.settings)
        try:
            while True:
                self._handle(read_launcher_request(await self._link.recv_frame()))
                if self._is_over and not self._workers and not self._exits:
                    await self._link.aclose()
                    return
        except EndOfChannel:
            pass
        finally:
            self._link.abort()
            for worker in self._workers.values():
                if worker:
                    worker.transport.abort()

    def _handle(self, request: object) -> None:
        match request:
            case LogReceived():
                self._is_acknowledged = True
                self._report()
            case Start(first, workers, parent=parent):
                for number in range(first, first + workers):
                    self._workers[number] = None
                    self._link.post_frame(*Started(number, os.getpid()).encode())
                    task = asyncio.create_task(self._start(number, parent))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
            case Kill(number, signal) if number != ALL:
                self._end(number, -signal)
            case Kill(_, signal):
                self._is_over = True
                for number in list(self._workers):
                    self._end(number, -signal)
                self._report(always=True)

    async def _start(self, number: int, parent: str | None) -> None:
        try:
            _, writer = await self._runner.dial(Role.WORKER, number, parent)
        except ParcsError as error:
            self._end(number, 1, str(error))
            return
        worker = Worker(writer, lambda: self._end(number, 0))
        if number in self._workers:
            self._workers[number] = worker
        else:  # killed meanwhile
            worker.transport.abort()

    def _end(self, number: int, code: int, *lines: str) -> None:
        if number in self._workers:
            worker = self._workers.pop(number)
            if worker:
                worker.transport.abort() if code else worker.transport.close()
            self._exits.append(Exited(number, code, [*lines]))
            self._report()

    def _report(self, *, always: bool = False) -> None:
        """Report the ends since the last batch was acknowledged, as a launcher's agent does."""
        if self._is_acknowledged and (self._exits or always):
            self._is_acknowledged = False
            exits, self._exits = self._exits, []
            self._link.post_frame(*Log([], 0).encode())
            for exited in exits:
                self._link.post_frame(*exited.encode())


async def _serve(runner: Runner, slot: int) -> None:
    try:
        await Launcher(runner, slot).run()
    except ParcsError as error:
        print(f"launcher {slot}: {error}", file=sys.stderr)
    print(slot, flush=True)


async def main(address: str, job: str, token: str, core: str = "") -> None:
    """Run a launcher for each slot that is read, until the input ends; on one core, if that is given."""
    if core:
        control.place(int(core))
    raise_file_limit()
    runner = Runner(address, job, token)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    launchers = set()
    while line := await reader.readline():
        launchers.add(asyncio.create_task(_serve(runner, int(line))))
    for launcher in launchers:
        launcher.cancel()
    await asyncio.gather(*launchers, return_exceptions=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _runner:
        _runner.run(main(*sys.argv[1:]))
