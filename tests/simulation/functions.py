"""The functions that simulated workers serve, and the thread of the plain ones, which takes virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from aioparcs.channel import LIMITED, MEMORY, Call, CallServer, Channel, ResultLog, ResultWriter, encode_error
from aioparcs.service.functions import functions as functions_module
from aioparcs.service.functions.functions import Functions
from aioparcs.service.functions.limits import CallLimits
from aioparcs.service.functions.plain_calls import PlainCalls
from aioparcs.service.functions.spans import ServerSpans
from tests.simulation.history import History
from tests.simulation.loop import host_of
from tests.simulation.network import End

__all__ = ["Item", "answer", "install", "result_of"]


class Item(NamedTuple):
    """
    What a call is to do.

    Attributes:
        number: its number in the history.
        seconds: how long it takes.
        ending: ``ok``, ``raise``, or ``die`` for one that kills its worker.
        size: bytes of its result besides.
    """

    number: int
    seconds: float
    ending: str = "ok"
    size: int = 0

    def finish(self, process: Any) -> Any:
        """Return the result, or end otherwise."""
        if self.ending == "raise":
            raise ValueError(f"item {self.number}")
        if self.ending == "die":
            process.die(-9, f"killed itself in item {self.number}")
        return result_of(self)


def result_of(item: Item) -> list[Any]:
    """Return what the call of an item has to return."""
    return [item.number, "x" * item.size]


async def answer(channel: Channel, process: Any, history: History, result_log: ResultLog) -> None:
    """Answer the calls of a channel with the real code of workers, until the runner ends it."""

    async def fetch(*fields: Any) -> Any:
        item = Item(*fields)
        history.begin(item.number, process.worker)
        await asyncio.sleep(item.seconds)
        return item.finish(process)

    async def count(number: int, items: int, seconds: float) -> AsyncIterator[int]:
        history.begin(number, process.worker)
        for one in range(items):
            await asyncio.sleep(seconds)
            yield one

    def compute(*fields: Any) -> Any:
        return Item(*fields)  # `_Thread` does the rest

    functions = {"compute": compute, "fetch": fetch, "count": count}
    limits = _Limits(process)
    spans = ServerSpans("simulated", process.worker)
    _Thread.now = process, history
    await Functions(functions, channel, result_log, limits, spans).answer()


class _Limits(CallLimits):
    """Limits whose end of a worker is that of a simulated process."""

    def __init__(self, process: Any) -> None:
        super().__init__(-1, process.worker)
        self._process = process

    def _set(self) -> None:
        pass  # no function blocks a loop here

    def _end(self, call_id: int, limit: float, task: Any) -> None:
        self._process.time_out(call_id, limit)


class _Writer(ResultWriter):
    """A writer whose socket is simulated: that of the thread, too."""

    def __init__(self, server: CallServer, result_log: ResultLog | None) -> None:
        super().__init__(server, result_log)
        self.delivering: asyncio.Task[None] | None = None
        self._fd, self._leave_together = 1 << 20, result_log is not None
        end = server.connection.transport
        assert isinstance(end, End)
        self._end = end

    def close(self) -> None:
        self._fd = -1

    def _write(self, piece: Any, frames: int) -> None:
        self._outbox.count(frames, len(piece))
        self._end.write_now(bytes(piece))

    def _send_alone(
        self, call_id: int, ok: bool | None, value: Any, name: str, body: bytes, buffers: tuple[Any, ...]
    ) -> None:
        with self._lock:
            self._flush()
            if self._fd >= 0 and self._outbox.empty and not self._unsent and not buffers:
                for count, piece in enumerate(functions_module_frames(body, buffers)):
                    self._write(piece, not count)
                return
        self.delivering = asyncio.ensure_future(self._deliver(call_id, ok, value, name))


class _Thread(PlainCalls):
    """The thread of plain functions as a task, which takes the time that each item says."""

    now: tuple[Any, History]
    _task: asyncio.Task[None] | None = None

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._process, self._history = self.now
        self._news = asyncio.Event()

    def start(self) -> None:
        self._news.set()
        if self._task is None and not self._queue.empty():
            self._task = host_of().start(self._serve())

    def end(self) -> None:
        super().end()
        self._news.set()

    async def _serve(self) -> None:
        waiting, answers = self._waiting, self._answers
        assert isinstance(answers, _Writer)
        while True:
            while self._queue.empty():
                self._news.clear()
                await self._news.wait()
            call = self._queue.get()
            if call is None:
                return
            if waiting.calls.pop(call.id, None) is None:
                if self._queue.empty():
                    answers.flush()
                continue
            ok, value = await self._run_one(call)
            answers.send_now(call.id, ok, value, "compute", last=self._queue.empty())
            if (delivering := answers.delivering) is not None:
                answers.delivering = None
                await delivering
            else:
                self._finish(call)
            if waiting.is_full:
                waiting.notify()

    def _finish(self, call: Call) -> None:
        if call.name == LIMITED:
            call = call.args[0]
        if call.name != MEMORY:
            self._history.finish(Item(*call.args).number, self._process.worker)

    async def _run_one(self, call: Call) -> tuple[bool, Any]:
        if call.name == MEMORY:
            return True, 1 << 20
        limit = None
        if call.name == LIMITED:
            call, limit = call.args
        item = Item(*call.args)
        self._history.begin(item.number, self._process.worker)
        if limit is not None and item.seconds > limit:
            await asyncio.sleep(limit)
            self._process.time_out(call.id, limit)
        await asyncio.sleep(item.seconds)
        try:
            return True, item.finish(self._process)
        except ValueError as error:
            return False, encode_error(error)


def functions_module_frames(body: bytes, buffers: tuple[Any, ...]) -> Any:
    """Return the pieces of a frame with a result."""
    from aioparcs import wire

    return wire.encode_frame(wire.FrameType.RESULT, body, buffers)


def install() -> None:
    """Put the simulated thread and writer in the place of the real ones."""
    parts: dict[str, Callable[..., Any]] = {"PlainCalls": _Thread, "ResultWriter": _Writer}
    for name, part in parts.items():
        setattr(functions_module, name, part)
