"""The broadcast: the same message to all workers, which relay large ones to each other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack, nullcontext
from itertools import chain
from typing import Any, NamedTuple, Self
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

    Large bytes and arrays are copied to shared memory once for all workers of this machine. To each container elsewhere
    that has several of the workers this process sends one copy, which they share. To other workers they go from node to
    node, and from worker to worker while they arrive. `broadcast` returns when all workers have them.
    Other messages are encoded once and sent to each; it returns when all are accepted. A lost worker does not keep the
    message from others, and the error is raised at the end. After cancelling, the workers to which a large
    message is on its way from others raise a `DecodeError` in its place, and workers to which it had not begun to be
    sent don't get one.

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
    async with _Turn(tasks) as turn:
        near, containers = await _groups(tasks) if tasks and any(len(view) >= LEAST for view in buffers) else ([], [])
        shared = message._replace(buffers=await share_buffers(buffers)) if near else message
        grouped = {*near, *chain.from_iterable(containers)}
        others = [task for task in tasks if task not in grouped]
        sends = [*_sends(others, message, value), *(_share(task, shared) for task in near)]
        sends += [_send_kept(group, message, value, turn) for group in containers]
        sending = asyncio.gather(*map(_outcome, sends))
        turn.end([*near, *others])
        _raise_first(await sending)


def _sends(tasks: Sequence[Task], message: _Message, value: Any) -> list[Coroutine[Any, Any, None]]:
    """Return what sends a message to workers that don't share it: they relay it if it is large and they are many."""
    relays = [task for task in tasks if _channel(task).relays.is_supported]
    if sum(map(len, message.buffers)) < _LARGE or len(message.body) > _LONGEST or len(relays) < _MANY:
        return [_send(task, message, value) for task in tasks]
    others = [_send(task, message, value) for task in tasks if not _channel(task).relays.is_supported]
    return [*others, _Broadcast(relays, message).run()]


def _channel(task: Task) -> Channel:
    return task.handle.channel


class _Message(NamedTuple):
    type: FrameType
    body: bytes
    buffers: tuple[Any, ...]


_turns: WeakKeyDictionary[Channel, asyncio.Future[None]] = WeakKeyDictionary()  # the last one of each channel


class _Turn:
    """
    A broadcast's place in line: each channel gets messages in the order in which their broadcasts began.

    Its block begins when those before it have begun to send to all of these channels.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        loop = asyncio.get_running_loop()
        channels = [_channel(task) for task in tasks]
        self._before = {channel: turn for channel in channels if (turn := _turns.get(channel)) and not turn.done()}
        self._over = {channel: loop.create_future() for channel in channels}
        _turns.update(self._over)

    async def __aenter__(self) -> Self:
        try:
            for turn in self._before.values():
                await asyncio.shield(turn)
        except BaseException:
            self._end_all()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._end_all()

    def end(self, tasks: Sequence[Task]) -> None:
        """Allow the next broadcast to send to these workers: the message is on its way to them."""
        for task in tasks:
            self._end(_channel(task))

    def _end_all(self) -> None:
        for channel in self._over:
            self._end(channel)

    def _end(self, channel: Channel) -> None:
        if (before := self._before.get(channel)) and not before.done():  # cancelled while it waited for its turn
            before.add_done_callback(lambda _: self._end(channel))
        elif not self._over[channel].done():
            self._over[channel].set_result(None)


async def _groups(tasks: Sequence[Task]) -> tuple[list[Task], list[list[Task]]]:
    """Return the workers that map memory of this process, and those of each launcher that keeps memory, if several."""
    near = await _mapping(tasks)
    if len(near) < _SEVERAL:
        near = []
    groups: dict[tuple[WorkerOwner, int], list[Task]] = {}
    for task in tasks:
        if task not in near and task.handle.owner.can_keep(task.handle):
            groups.setdefault((task.handle.owner, task.launcher), []).append(task)
    return near, [group for group in groups.values() if len(group) >= _SEVERAL]


async def _send_kept(tasks: Sequence[Task], message: _Message, value: Any, turn: _Turn) -> None:
    """
    Send a message to workers of a launcher that keeps one copy of its large buffers for them.

    It returns when all of the workers have it, or are lost.
    """
    views = [view for view in message.buffers if len(view) >= LEAST]
    handle = tasks[0].handle
    with ExitStack() as stack:
        mapping: list[Task] = []
        if kept := await handle.owner.keep(handle, views):
            stack.callback(kept.drop)  # what is lent holds it
            mapping = await _mapping(tasks, kept.keeper)
        others = [task for task in tasks if task not in mapping]
        sends = [*_sends(others, message, value), *(_share(task, message, kept) for task in mapping)]
        sending = asyncio.gather(*map(_outcome, sends))
        turn.end(tasks)
        _raise_first(await sending)


async def _mapping(tasks: Sequence[Task], keeper: tuple[int, int, bytes] | None = None) -> list[Task]:
    """Return the workers that map memory of this process, or of a keeper; those that answer late get bytes."""
    answers = [asyncio.ensure_future(_channel(task).connection.outbox.loans.are_possible(keeper)) for task in tasks]
    try:
        await asyncio.wait(answers, timeout=_PATIENCE if keeper is None else _PATIENCE_ELSEWHERE)
        return [task for task, answer in zip(tasks, answers, strict=True) if answer.done() and answer.result()]
    finally:
        for answer in answers:
            answer.cancel()


async def _outcome(part: Coroutine[Any, Any, None]) -> Exception | None:
    """Return the error that a part of the broadcast ends with, so that the others go on."""
    try:
        await part
    except Exception as error:
        return error
    return None


def _raise_first(outcomes: Sequence[Exception | None]) -> None:
    """Raise the first error, if there is one."""
    for error in outcomes:
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
            reaching = [_outcome(self._reach(number)) for number in range(len(self._tasks))]
            _raise_first(await asyncio.gather(*reaching))
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
