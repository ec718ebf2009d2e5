"""The stacks of workers that go on, as their runner requests them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from aioparcs import deadlines
from aioparcs.launcher.process.stack_dumps import ANSWER, DUMP, StackMemory
from aioparcs.messages.launcher import Kill

__all__ = ["WorkerStacks"]

# Seconds between two looks, and what an answer says before the threads' stacks if Python has not written them.
_PAUSE = 0.01
_BLOCKED = (
    "Python has not run in its main thread for {:g} s: C code keeps the GIL, or the main thread; "
    "the stacks of its threads, without its tasks:\n"
)
_IDLE = "it runs nothing of its program: it waits for calls or messages"
_UNREADY = "its process is just beginning, or its program has replaced the handler of signal {}"
_STOPPED = "it is stopped by a signal (SIGSTOP, or a debugger): SIGCONT has it go on"


class WorkerStacks:
    """
    Gets the stacks of one launcher's workers.

    Args:
        records: the descriptor of the memory that workers write to.
        send: sends the fork server a request.

    Attributes:
        pids: the process ids of the workers that run, by number.
    """

    def __init__(self, records: int, send: Callable[[Kill], Awaitable[None]]) -> None:
        self.pids: dict[int, int] = {}
        self._records = records
        self._send = send
        self._dumping = asyncio.Lock()
        self._late: int | None = None  # the worker that has not written its dump: it may yet do so

    async def read(self, worker: int) -> str:
        """
        Return the stacks of a worker's threads and tasks.

        Raises:
            LookupError: it can't be had; its text says why.
        """
        self._check(worker, ANSWER)
        memory = StackMemory(self._records, worker)
        count = memory.count()
        await self._send(Kill(worker, ANSWER))
        if not await _wait(lambda: memory.count() > count or worker not in self.pids):
            self._check(worker, DUMP)
            return await self._dump(worker, memory)
        self._check(worker, ANSWER)
        return memory.answer() or _IDLE

    async def _dump(self, worker: int, memory: StackMemory) -> str:
        from aioparcs.launcher.process.stacks import own_sections  # nearly no launcher needs it

        async with self._dumping:
            if self._late is not None and self._status(self._late, ("ShdPnd", "SigPnd")) & _bit(DUMP):
                raise LookupError(f"worker {self._late} has not written its own yet")
            memory.expect_dump()
            self._late = worker
            await self._send(Kill(worker, DUMP))
            await asyncio.sleep(_PAUSE)  # the fork server's time to send it
            if not await _wait(lambda: not self._is_dumping(worker)):
                raise LookupError(f"it has not answered for {2 * deadlines.STACK_ANSWER:g} s: does it get any time?")
            self._late = None
            text = own_sections(memory.dump())
        self._check(worker, DUMP)
        return _BLOCKED.format(deadlines.STACK_ANSWER) + (text or _IDLE)

    def _check(self, worker: int, number: int) -> None:
        """Raise LookupError for a worker that can't answer a signal: it would wait in vain, or end."""
        state = self._state(worker) if worker in self.pids else ""
        if state in ("", "Z", "X"):
            raise LookupError("it has ended, or has not begun")
        if state in ("T", "t"):
            raise LookupError(_STOPPED)
        if not self._status(worker, ("SigCgt",)) & _bit(number):
            raise LookupError(_UNREADY.format(number))

    def _is_dumping(self, worker: int) -> bool:
        """Return whether a worker has yet to handle the signal, or is handling it: then it is blocked in a thread."""
        if self._status(worker, ("ShdPnd", "SigPnd")) & _bit(DUMP):
            return True
        threads = Path(f"/proc/{self.pids.get(worker)}/task").glob("*/status")
        return any(_mask(path, ("SigBlk",)) & _bit(DUMP) for path in threads)

    def _status(self, worker: int, fields: tuple[str, ...]) -> int:
        return _mask(Path(f"/proc/{self.pids.get(worker)}/status"), fields)

    def _state(self, worker: int) -> str:
        return _read(Path(f"/proc/{self.pids.get(worker)}/status")).get("State", "")[:1]


async def _wait(condition: Callable[[], bool]) -> bool:
    """Wait until a condition holds, for a moment; return whether it does."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadlines.STACK_ANSWER
    while not condition():
        if loop.time() >= end:
            return False
        await asyncio.sleep(_PAUSE)
    return True


def _bit(number: int) -> int:
    return 1 << number - 1


def _mask(path: Path, fields: tuple[str, ...]) -> int:
    """Return the union of some of the signal sets of a process or a thread; none if it has ended."""
    values = _read(path)
    mask = 0
    for field in fields:
        mask |= int(values.get(field, "0"), 16)
    return mask


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
