"""The loans of a connection: shared memory that was sent by reference, until the peer has mapped it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgpack

from aioparcs import wire
from aioparcs.shared import LEAST, KeptMemory, SharedMemory, SharedPart, find_shared
from aioparcs.wire import FrameType, Reference

__all__ = ["Loans", "Question", "mapped_frame"]

# What the peer is asked for: this process's memory (True), or that of another one.
Question = bool | tuple[int, int, bytes]


class Loans:
    """
    References instead of buffers, and the memory that they refer to, which stays here until the peer has mapped it.

    They refer to this process's memory, or to copies that a process on the peer's machine keeps. Whether the peer can
    map one of both is asked before the first loan: most connections never need to know.

    Args:
        ask: sends the peer that question: True, or how the other process's memory is reached.

    Attributes:
        is_askable: whether the peer has said that it may be asked for this process's memory, and was not.
        is_undecided: True from the question to the answer.
        is_possible: whether the peer has said that it can map what it was asked for.
        size: bytes that the peer has not mapped yet.
        saved: bytes that were not written because it has mapped them.
    """

    def __init__(self, ask: Callable[[Question], object]) -> None:
        self.is_askable = False
        self.is_possible = False
        self.size = self.saved = 0
        self._ask = ask
        self.is_undecided = False
        self._question: Question | None = None
        self._is_over = False  # the peer maps nothing, or nothing more
        self._kept: list[KeptMemory] = []  # what is lent from now on
        self._lent: list[tuple[SharedMemory | KeptMemory, Reference]] = []
        self._returned = 0
        self._waiting: list[tuple[int, asyncio.Future[bool]]] = []

    def any_in(self, buffers: tuple[Any, ...]) -> bool:
        """Return True if one of the buffers would be lent, or perhaps would."""
        is_open = self.is_possible or self.is_askable or self.is_undecided
        return is_open and any(self._find(view) is not None for view in buffers)

    def lend(self, buffers: tuple[Any, ...]) -> tuple[Any, ...]:
        """
        Return the buffers, with references in place of those that lie in shared memory.

        From now on arrays in it can't be written to: what the peer has mapped would change.
        """
        return tuple(map(self._lend, buffers)) if self.is_possible else buffers

    def must_wait(self, buffers: tuple[Any, ...]) -> bool:
        """Return True if buffers lie in shared memory, and it isn't known yet whether the peer maps that; ask it."""
        if not (self.is_askable or self.is_undecided) or not self.any_in(buffers):
            return False
        if self.is_askable:
            self._post_question(True)
        return True

    async def are_possible(self, keeper: tuple[int, int, bytes] | None = None) -> bool:
        """Return whether the peer maps memory of this process, or of a keeper, once that is known; it is asked once."""
        question: Question = True if keeper is None else keeper
        if self.is_askable or (keeper is not None and self._question is None and not self._is_over):
            self._post_question(True if self.is_askable else question)
        while self.is_undecided:
            await self.wait_returned()
        return self.is_possible and self._question == question

    @contextmanager
    def lending(self, kept: KeptMemory) -> Iterator[None]:
        """Lend what a keeper has copies of, in place of these buffers, while the block runs."""
        self._kept.append(kept)
        try:
            yield
        finally:
            self._kept = [one for one in self._kept if one is not kept]

    def count_returned(self, count: Any) -> None:
        """
        Account for what the peer says it has mapped: so many buffers since the beginning; None says that it can't.

        Raises:
            ValueError: it can't be so many.
        """
        if count is None:
            self.clear()
            return
        if type(count) is not int or not 0 <= count - self._returned <= len(self._lent):
            raise ValueError(f"the peer can't have mapped so many buffers of {self._returned + len(self._lent):,}")
        self.is_possible, self.is_undecided = True, False
        returned = count - self._returned
        self.saved += sum(reference.saved for _, reference in self._lent[:returned])
        self._forget(returned)
        self._returned = count
        self._wake()

    async def wait_returned(self) -> bool:
        """Wait until the peer has mapped all that was lent before; return False if it never will."""
        number = self._returned + len(self._lent)
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((number, future))
        self._wake()
        return await future

    def clear(self) -> None:
        """Forget what was lent, and lend no more: the peer maps nothing more."""
        self.is_possible = self.is_askable = self.is_undecided = False
        self._is_over = True
        self._forget(len(self._lent))
        self._wake(is_over=True)

    def _forget(self, count: int) -> None:
        """Remove the first loans."""
        over, self._lent = self._lent[:count], self._lent[count:]
        for memory, reference in over:
            self.size -= reference.size
            if isinstance(memory, KeptMemory):
                memory.drop()

    def _post_question(self, question: Question) -> None:
        self.is_askable, self.is_undecided = False, True
        self._question = question
        self._ask(question)

    def _wake(self, *, is_over: bool = False) -> None:
        """Wake those who wait for what was returned, or for what never will be."""
        waiting, self._waiting = self._waiting, []
        for number, future in waiting:
            if (number > self._returned or self.is_undecided) and not is_over:
                self._waiting.append((number, future))
            elif not future.done():
                future.set_result(number <= self._returned)

    def _lend(self, view: Any) -> Any:
        found = self._find(view)
        if found is None:
            return view
        memory, parts = found
        if isinstance(memory, KeptMemory):
            memory.hold()
        owner: Any = view.obj if isinstance(memory, SharedMemory) else None
        while hasattr(owner, "flags"):  # arrays, the last of which is the one that lies in the memory itself
            owner.flags.writeable = False
            owner = owner.base
        reference = Reference(len(view), parts)
        self._lent.append((memory, reference))
        self.size += reference.size
        return reference

    def _find(self, view: Any) -> tuple[SharedMemory | KeptMemory, tuple[SharedPart, ...]] | None:
        """Return the shared memory of a buffer that is large enough to be lent, and its parts there."""
        if len(view) < LEAST:
            return None
        if self._question is None or self._question is True:
            found = find_shared(view)
            return (found[0], tuple(found[0].cut(found[1], len(view)))) if found and found[0].is_open else None
        for kept in self._kept:
            if part := kept.find(view):
                return kept, (part,)
        return None


def mapped_frame(value: Question | int | None) -> bytes:
    """Return a MAPPED frame: a question, that it can't map anything (None), or how many buffers it has mapped."""
    body = msgpack.packb(value)
    return wire.encode_header(FrameType.MAPPED, len(body)) + body
