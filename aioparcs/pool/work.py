"""One item on its way: what to call, for whom, and where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from reprlib import Repr
from typing import TYPE_CHECKING, Any, Protocol

from aioparcs.wire import Frame

if TYPE_CHECKING:
    from aioparcs.pool.member import Member

__all__ = ["Client", "Work"]

# An item as an error shows it: enough to know it by, whatever its size.
_short = Repr()
_short.maxother = _short.maxstring = 60
_short.maxlevel = 2


class Client(Protocol):
    """Whoever asks for calls, and takes what becomes of them."""

    @property
    def is_over(self) -> bool:
        """True when it will give no more calls, and has all results."""

    def take(self) -> Work | None:
        """Give the next call to make, None if there is none now."""

    def settle(self, work: Work, ok: bool, value: Any) -> None:
        """Take a result, or the exception in its place."""

    def cancel(self) -> None:
        """Cancel whoever waits for results."""

    def fail(self, error: Exception) -> None:
        """Have whoever waits for results raise an error: there will be none."""


class Work:
    """
    One call, from when it is taken until it is settled.

    Attributes:
        client: who asked for it.
        index: its place among the client's.
        function: the function's name.
        args: its arguments.
        kwargs: its keyword arguments.
        losses: how many workers have died of it.
        member: the worker that has it, once it was sent.
        call_id: the call's id on that worker's channel.
        is_recalled: True when it was asked back.
        is_unwanted: True when its result is of no interest any more.
    """

    __slots__ = (
        "args",
        "call_id",
        "client",
        "function",
        "index",
        "is_recalled",
        "is_unwanted",
        "kwargs",
        "losses",
        "member",
    )

    member: Member | None
    call_id: int

    def __init__(
        self, client: Client, index: int, function: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        self.client = client
        self.index = index
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.losses = 0
        self.member = None
        self.is_recalled = False
        self.is_unwanted = False

    def __str__(self) -> str:
        given = [_short.repr(arg) for arg in self.args]
        given += [f"{name}={_short.repr(value)}" for name, value in self.kwargs.items()]
        return f"item {self.index}: ({', '.join(given)})"

    def withdraw(self) -> None:
        """Do without its result: take it back, or have a coroutine function cancelled."""
        if not self.is_unwanted:
            self.is_unwanted = True
            if self.member is not None and self.call_id in self.member.calls:
                self.member.cancel(self)

    # What a channel asks of whoever waits for a call's answer

    def done(self) -> bool:
        """Always wait."""
        return False

    def set_result(self, answer: Frame | None) -> None:
        """Take the answer; None when the channel has ended, and its worker's end is about to be known."""
        if answer is not None and self.member is not None:
            self.member.answered(self, answer)
