"""The broadcast: the same message to all workers, which relay large ones to each other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from aioparcs import codec
from aioparcs.address import Address
from aioparcs.channel import RELAYS, Channel, RelayBuffer, decode_error_or_default
from aioparcs.collectives.tree import broadcast_tree
from aioparcs.errors import ConnectionLost, EndOfChannel, ParcsError, WorkerLost
from aioparcs.shared import LEAST, KeptMemory
from aioparcs.shared.values import share_buffers
from aioparcs.task import Task, WorkerOwner
from aioparcs.wire import FrameType

__all__ = ["broadcast"]

# Bytes of buffers from which on a message goes from worker to worker, and how many workers it takes to be worth it.
_LARGE, _MANY = 1 << 20, 3
# Workers of this machine for which one copy in shared memory is better than one for each.
_SEVERAL = 2
# Seconds for workers to say whether they map memory: one that computes keeps the message from no other. Elsewhere that
# saves the network a copy.
_PATIENCE, _PATIENCE_ELSEWHERE = 1.0, 5.0
# Bytes of a message's body that go along with the news of it.
_LONGEST = 4096
_UNRECEIVED = "has ended without receiving the message"


async def broadcast(tasks: Sequence[Task], value: Any) -> None:
    """
    Send the same message to all workers; each receives it by `Service.recv`, in its place among the others.

    Large bytes and arrays are copied to shared memory once for all workers of this machine, and sent once to each
    container elsewhere that has several of the workers, which share them. To other workers they go from node to node,
    and from worker to worker while they arrive. `broadcast` returns when all workers have them.
    Other messages are encoded once and sent to each; it returns when all are accepted. A lost worker does not keep the
    message from others, and the error is raised at the end. After cancelling, the workers that don't have all of a
    large message raise a `DecodeError` in its place, and workers without room in their channel don't get one.

    Args:
        tasks: the workers.
        value: the message; see `Channel.send` for what it may be. An array is read until this returns.

    Raises:
        WorkerLost, RemoteError, EndOfChannel, EncodeError: of the first worker that has not received it.
    """
    raw, body, buffers = codec.encode(value, min((_channel(task).connection.extensions for task in tasks), default=0))
    message = _Message(FrameType.RAW if raw else FrameType.MSG, body, buffers)
    size = sum(map(len, buffers))
    for task in tasks:
        if _channel(task).connection.version > 1:
            _channel(task).connection.sender.check_size(len(body), size)
    near: list[Task] = []
    kept: dict[Task, KeptMemory] = {}
    async with _turns():
        if tasks and any(len(view) >= LEAST for view in buffers):
            near = await _near(tasks)
            kept = await _keep([task for task in tasks if task not in near], buffers)
        shared = message._replace(buffers=await share_buffers(buffers)) if near else message
    others = [task for task in tasks if task not in near and task not in kept]
    relays = [task for task in others if _channel(task).relays.is_supported]
    if size < _LARGE or len(body) > _LONGEST or len(relays) < _MANY:
        relays = []
    sends = [_send(task, message, value) for task in others if task not in relays]
    sends += [_share(task, shared) for task in near]
    sends += [_share(task, message, memory) for task, memory in kept.items()]
    kept.clear()  # it is released when the last of these has mapped it
    await _all([*sends, *([_Broadcast(relays, message).run()] if relays else [])])


def _channel(task: Task) -> Channel:
    return task.handle.channel


class _Message(NamedTuple):
    type: FrameType
    body: bytes
    buffers: tuple[Any, ...]


_copying: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


def _turns() -> asyncio.Lock:
    """Return the lock by which broadcasts are sent in the order in which they began: copies are made before that."""
    return _copying.setdefault(asyncio.get_running_loop(), asyncio.Lock())


async def _near(tasks: Sequence[Task]) -> list[Task]:
    """Return the workers that map memory of this process, if they are several."""
    near = await _mapping(tasks)
    return near if len(near) >= _SEVERAL else []


async def _keep(tasks: Sequence[Task], buffers: Sequence[memoryview]) -> dict[Task, KeptMemory]:
    """Send large buffers to each launcher that has several workers; return those that map what it keeps now."""
    groups: dict[tuple[WorkerOwner, int], list[Task]] = {}
    for task in tasks:
        if _channel(task).connection.version > 1:
            groups.setdefault((task.handle.owner, task.launcher), []).append(task)
    views = [view for view in buffers if len(view) >= LEAST]
    parts = [_keep_for(group, views) for group in groups.values() if len(group) >= _SEVERAL]
    return {task: memory for part in await asyncio.gather(*parts) for task, memory in part.items()}


async def _keep_for(tasks: Sequence[Task], views: Sequence[memoryview]) -> dict[Task, KeptMemory]:
    kept = await tasks[0].handle.owner.keep(tasks[0].handle, views)
    if kept is None:
        return {}
    kept.release_after_use()
    return dict.fromkeys(await _mapping(tasks, kept.keeper), kept)


async def _mapping(tasks: Sequence[Task], keeper: tuple[int, int, bytes] | None = None) -> list[Task]:
    """Return the workers that map memory of this process, or of a keeper; those that answer late get bytes."""
    answers = [asyncio.ensure_future(_channel(task).connection.outbox.loans.are_possible(keeper)) for task in tasks]
    try:
        await asyncio.wait(answers, timeout=_PATIENCE if keeper is None else _PATIENCE_ELSEWHERE)
        return [task for task, answer in zip(tasks, answers, strict=True) if answer.done() and answer.result()]
    finally:
        for answer in answers:
            answer.cancel()


async def _all(parts: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run all coroutines to the end of the last one, and raise the first error."""
    for error in await asyncio.gather(*parts, return_exceptions=True):
        if error is not None:
            raise error


async def _send(task: Task, message: _Message, value: Any) -> None:
    connection = _channel(task).connection
    if connection.version == 1:
        await task.send(value)
        return
    try:
        await connection.sender.send(*message)
    except ParcsError as error:
        raise await task.handle.explain(error) from error.__cause__


async def _share(task: Task, message: _Message, kept: KeptMemory | None = None) -> None:
    """Send a worker a message in memory that is shared here, or kept where it is; returns when it has mapped that."""
    connection = _channel(task).connection
    try:
        with nullcontext() if kept is None else connection.outbox.loans.lending(kept):
            await connection.sender.send(*message)
        if not await connection.outbox.loans.wait_returned():
            connection.inbox.check()
            raise ConnectionLost(f"the worker {_UNRECEIVED}")
    except EndOfChannel as error:
        raise WorkerLost(task.name, _UNRECEIVED) from error
    except ParcsError as error:
        raise await task.handle.explain(error) from error.__cause__


class _Broadcast:
    """A message that is being relayed through the workers."""

    def __init__(self, tasks: Sequence[Task], message: _Message) -> None:
        self._tasks = tasks
        self._message = message
        self._name = os.urandom(8)
        self._parents = broadcast_tree([task.node for task in tasks])
        self._pending_children = [self._parents.count(number) for number in range(len(tasks))]
        loop = asyncio.get_running_loop()
        self._addresses: list[asyncio.Future[Address | None]] = [loop.create_future() for _ in tasks]

    async def run(self) -> None:
        """Send the message; returns when all workers have it, or are lost."""
        buffers = self._message.buffers
        stream = RELAYS[self._name] = RelayBuffer(buffers, have=sum(map(len, buffers)))
        try:
            await _all([self._reach(number) for number in range(len(self._tasks))])
        finally:
            del RELAYS[self._name]
            stream.close()

    async def _reach(self, number: int) -> None:
        """Announce the message to one worker, and wait until it has it."""
        task, parent = self._tasks[number], self._parents[number]
        relays = _channel(task).relays
        with relays.subscription(self._name):
            try:
                await _channel(task).connection.sender.send(FrameType.RELAY, self._head(number))
                if parent < 0:
                    relays.notify(self._name, "from", None)
                else:
                    self._addresses[parent].add_done_callback(
                        lambda address: relays.notify(self._name, "from", address.result())
                    )
                await self._wait_received(number)
            except EndOfChannel as error:
                raise WorkerLost(task.name, _UNRECEIVED) from error
            except ParcsError as error:
                raise await task.handle.explain(error) from error.__cause__
            finally:
                self._settle(number, None)
                if parent >= 0:
                    self._pending_children[parent] -= 1
                    if not self._pending_children[parent]:
                        _channel(self._tasks[parent]).relays.notify(self._name, "release")

    async def _wait_received(self, number: int) -> None:
        while True:
            verb, value = await _channel(self._tasks[number]).relays.recv_notice(self._name)
            if verb == "at":
                self._settle(number, value)
            elif verb == "has":
                return
            elif verb == "failed":
                raise decode_error_or_default(value)

    def _head(self, number: int) -> bytes:
        type, body, buffers = self._message
        sizes = list(map(len, buffers))
        feeds = self._pending_children[number] > 0
        return codec.encode_inline([self._name, "message", feeds, type == FrameType.RAW, body, sizes])[0]

    def _settle(self, number: int, address: Address | None) -> None:
        if not self._addresses[number].done():
            self._addresses[number].set_result(address)
