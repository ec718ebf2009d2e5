"""The actions that a scheduler wants done."""

from typing import NamedTuple

from aioparcs.pool.scheduler.call import Client, Outcome, PendingCall

__all__ = ["Action", "Agenda", "Assign", "Cancel", "Drained", "Expire", "Pull", "Repeat", "Revoke", "Settle", "Wake"]


class Pull(NamedTuple):
    """Take calls from a client, and report them with `Scheduler.pulled` before any other event."""

    client: Client
    most: int


class Assign(NamedTuple):
    """Send calls to a worker, and report that with `Scheduler.sent` or `Scheduler.disconnected`."""

    worker: int
    calls: list[PendingCall]


class Revoke(NamedTuple):
    """Ask a worker to return calls that it has not begun."""

    worker: int
    calls: list[PendingCall]


class Cancel(NamedTuple):
    """Ask a worker to stop a call, if it can be stopped; the error is why, None if its caller needs no result."""

    worker: int
    call: PendingCall
    error: BaseException | None = None


class Settle(NamedTuple):
    """Pass outcomes to a client; some are failures. The worker is -1 where none has answered."""

    worker: int
    client: Client
    outcomes: list[Outcome]
    failures: list[Outcome]


class Drained(NamedTuple):
    """End a worker that gets no more calls: it has none left."""

    worker: int


class Repeat(NamedTuple):
    """Count a call that has failed in a worker, and is to be made again."""

    worker: int
    call: PendingCall
    error: BaseException


class Expire(NamedTuple):
    """Start a worker in place of one that has had its calls, or its memory, and retire it then."""

    worker: int


class Wake(NamedTuple):
    """Report `Scheduler.tick` at a time, in place of the one before; None for never."""

    when: float | None


Action = Pull | Assign | Revoke | Cancel | Settle | Repeat | Drained | Expire | Wake


class Agenda:
    """
    The actions that are to be performed next.

    Attributes:
        actions: the actions, in their order.
        wake_at: when the next `Scheduler.tick` is due, None for never.
    """

    __slots__ = ("actions", "wake_at")

    def __init__(self) -> None:
        self.actions: list[Action] = []
        self.wake_at: float | None = None

    def wake_by(self, when: float | None) -> None:
        """Request a `Scheduler.tick` at a time, unless one is due sooner; None for no time."""
        if when is not None and (self.wake_at is None or self.wake_at > when):
            self.wake_at = when
            self.actions.append(Wake(when))

    def flush(self) -> list[Action]:
        """Return the actions, and begin with none."""
        actions, self.actions = self.actions, []
        return actions
