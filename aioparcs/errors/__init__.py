"""
All exceptions of aioparcs, in one tree.

::

    ParcsError
    ├── ChannelClosed       you closed this end
    ├── EndOfChannel        the peer ended its side cleanly
    ├── ConnectionLost      the stream ended without a goodbye; __cause__ says more
    │   └── WorkerLost      ... because the worker died: exit code or signal, last lines
    ├── BusyError           two receivers at once
    ├── ProtocolError       the peer broke the wire's rules
    │   └── HandshakeError  ... or was refused, or refused us
    ├── EncodeError         a value cannot be sent (also a TypeError)
    ├── DecodeError         a message arrived whole, but its value cannot be decoded here
    ├── RemoteError         the peer's program raised (also the builtin that it raised)
    ├── CallTimeout         a call has passed its time limit (also a TimeoutError)
    ├── CallCancelled       a user has cancelled a call of a pool
    ├── StartError          a worker could not be started
    ├── BuildError          a module's image could not be built or pushed
    ├── ClusterError        the cluster can't be reached, or refuses
    ├── JournalError        a pool's journal can't be read or written
    ├── BrokenPool          an executor's workers can't be started (also concurrent.futures' BrokenExecutor)
    └── SettingError        a setting or an option has an impossible value (also a ValueError)

Exceptions hold data; ``__str__`` makes the sentence. Timeouts that you ask for with ``asyncio.timeout``
are the builtin ``TimeoutError`` and nothing more. docs/errors.md says of each error what to do about it.
"""

from __future__ import annotations

import copy
import signal as signals
from concurrent import futures
from typing import TypeVar

from aioparcs.errors.call import call_text as call_text
from aioparcs.errors.call import safe_repr as safe_repr
from aioparcs.errors.item import set_item as set_item
from aioparcs.errors.parts import ExceptionParts as ExceptionParts
from aioparcs.errors.parts import builtin_base as builtin_base
from aioparcs.errors.parts import entries_of as entries_of
from aioparcs.errors.parts import own as own
from aioparcs.errors.parts import set_own as set_own
from aioparcs.errors.remote import RemoteError
from aioparcs.errors.remote import add_note as add_note
from aioparcs.errors.remote import notes_of as notes_of
from aioparcs.errors.remote import origin_of as origin_of
from aioparcs.errors.remote import parts_of as parts_of
from aioparcs.errors.remote import set_worker as set_worker
from aioparcs.errors.remote import type_name as type_name
from aioparcs.errors.root import ParcsError
from aioparcs.errors.text import describe as describe
from aioparcs.errors.text import repr_of as repr_of
from aioparcs.errors.text import text_of as text_of

__all__ = [
    "BrokenPool",
    "BuildError",
    "BusyError",
    "CallCancelled",
    "CallTimeout",
    "ChannelClosed",
    "ClusterError",
    "ConnectionLost",
    "DecodeError",
    "EncodeError",
    "EndOfChannel",
    "HandshakeError",
    "JournalError",
    "ParcsError",
    "ProtocolError",
    "RemoteError",
    "SettingError",
    "StartError",
    "WorkerLost",
]

_Error = TypeVar("_Error", bound=BaseException)


class ChannelClosed(ParcsError):
    """This end of the channel was closed by ``aclose()`` or ``abort()``."""


class EndOfChannel(ParcsError):
    """The peer ended its side cleanly: no further message will come."""


class ConnectionLost(ParcsError):
    """The stream ended without a goodbye, or its peer stopped answering."""


class WorkerLost(ConnectionLost):
    """
    A worker is gone; its launcher or its engine has reported why.

    Attributes:
        worker: what it is called, ``module:number``.
        reason: one phrase, such as ``was killed by SIGKILL``.
        exitcode: its exit code, or None.
        signal: the number of the signal that ended it, or None.
        last_lines: the last lines that it printed, oldest first.
        call: what a pool's worker was working on, such as ``item 3: (17)``, or "".
        index, item: see `ParcsError`.
    """

    def __init__(
        self,
        worker: str,
        reason: str,
        *,
        exitcode: int | None = None,
        signal: int | None = None,
        last_lines: tuple[str, ...] = (),
        call: str = "",
    ) -> None:
        super().__init__(worker, reason)
        self.worker = worker
        self.reason = reason
        self.exitcode, self.signal = exitcode, signal
        self.last_lines = last_lines
        self.call = call

    @classmethod
    def from_exit(cls, worker: str, code: int, last_lines: tuple[str, ...] = ()) -> WorkerLost:
        """Return the error for an exit code as ``subprocess`` has it: negative for a signal."""
        if code < 0:
            full = " (/dev/shm may be full: a container has 64 MiB of it; see docs/swarm.md for more)"
            reason = f"was killed by {signal_name(-code)}{full if -code == signals.SIGBUS else ''}"
            return cls(worker, reason, signal=-code, last_lines=last_lines)
        stopped = " (SIGTERM: it was stopped from outside, as when a Swarm's node is drained)" if code == 143 else ""
        return cls(worker, f"ended with exit code {code}{stopped}", exitcode=code, last_lines=last_lines)

    def __str__(self) -> str:
        call = f", at {self.call}" if self.call else ""
        return f"worker {self.worker} {self.reason}{call}{quote_lines(self.last_lines)}"

    def at(self, call: str) -> WorkerLost:
        """Return an error that also names what the worker was working on."""
        other = fresh(self)
        other.call = call
        return other


class BusyError(ParcsError):
    """Another coroutine is receiving from this channel already."""


class ProtocolError(ParcsError):
    """The peer sent something that the wire does not allow."""


class HandshakeError(ProtocolError):
    """The connection was refused before it carried a message."""


class EncodeError(ParcsError, TypeError):
    """
    A value cannot be sent; nothing was sent.

    Attributes:
        place: where in the message it stands, such as ``$.rows[3].when``.
        reason: what is wrong with it.
    """

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(place, reason)
        self.place = place
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


class DecodeError(ParcsError, ValueError):
    """A message arrived whole, but its value cannot be decoded here; the channel goes on."""


class CallTimeout(ParcsError, TimeoutError):
    """
    A call was not done within its time limit, and was stopped: a plain function together with its worker.

    Attributes:
        limit, ended_worker: seconds, from when it began in its worker; whether that has ended with it.
        stack: where it was, as ``faulthandler`` writes it, the most recent call first; "" if that is not known.
        worker, node, call: where it ran, and what a pool's worker was working on, such as ``item 3: (17)``; or "".
        index, item: see `ParcsError`.
    """

    def __init__(self, limit: float, stack: str = "", *, ended_worker: bool = False) -> None:
        self.args = (limit, stack)
        self.limit, self.stack, self.ended_worker = limit, stack, ended_worker
        self.worker = self.node = self.call = ""
        if stack:
            self.add_note(f"its stack, the most recent call first:\n{stack.rstrip()}")

    def __str__(self) -> str:
        where = f" in worker {self.worker}" if self.worker else ""
        return f"{self.call or 'the call'} was not done within its time limit of {self.limit:g} s{where}"


class CallCancelled(ParcsError):
    """
    A call of a pool was cancelled by a user while the job ran, such as on the page of ``aioparcs ui --control``.

    It is no `asyncio.CancelledError`, which would end the task that waits for the result; the call is not repeated.

    Attributes:
        call: which call it was, such as ``item 3: (17)``.
        by: by what it was cancelled.
        index, item: see `ParcsError`.
    """

    def __init__(self, call: str, by: str) -> None:
        super().__init__(call, by)
        self.call = call
        self.by = by

    def __str__(self) -> str:
        return f"{self.call} was cancelled by {self.by}"


class StartError(ParcsError):
    """
    A worker could not be started.

    Attributes:
        module: the module's name.
        reason: what happened and what to do about it.
        last_lines: the last lines that it printed, oldest first.
    """

    def __init__(self, module: str, reason: str, last_lines: tuple[str, ...] = ()) -> None:
        super().__init__(module, reason)
        self.module = module
        self.reason = reason
        self.last_lines = last_lines

    def __str__(self) -> str:
        return f"{self.module} did not start: {self.reason}{quote_lines(self.last_lines)}"


class BuildError(ParcsError):
    """
    A module's image could not be built, or pushed.

    Attributes:
        module: the module's name.
        image: what the image would be called, or "".
        reason: what happened and what to do about it.
        last_lines: the last lines of the step that failed, oldest first.
    """

    def __init__(self, module: str, image: str, reason: str, last_lines: tuple[str, ...] = ()) -> None:
        super().__init__(module, image, reason)
        self.module = module
        self.image = image
        self.reason = reason
        self.last_lines = last_lines

    def __str__(self) -> str:
        image = f" (image {self.image})" if self.image else ""
        return f"{self.module}{image}: {self.reason}{quote_lines(self.last_lines)}"


class ClusterError(ParcsError):
    """
    The cluster can't be reached, or refuses a request.

    Attributes:
        url: the address of the leader's Docker API, without a password.
        reason: what happened, in Docker's words where it gave some.
        advice: what to do about it, or "".
    """

    def __init__(self, url: str, reason: str, advice: str = "") -> None:
        super().__init__(url, reason, advice)
        self.url = url
        self.reason = reason
        self.advice = advice

    def __str__(self) -> str:
        return f"Docker at {self.url}: {self.reason}{f'; {self.advice}' if self.advice else ''}"


class JournalError(ParcsError):
    """
    A journal can't be read or written, or is none; what it holds is left as it is.

    Attributes:
        path: the file.
        reason: what happened and what to do about it.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"journal {self.path}: {self.reason}"


class BrokenPool(ParcsError, futures.BrokenExecutor):
    """An `Executor` has no workers, and will have none: its calls fail, and it takes no further ones."""


class SettingError(ParcsError, ValueError):
    """A setting or an option has a value that it can't have."""


def fresh(error: _Error) -> _Error:
    """
    Return a copy of an error that is kept, to be raised.

    One object that is raised again and again collects the traceback, the context and the notes of all who catch it. An
    exception that is none of aioparcs' own is returned itself: not each can be copied.
    """
    if not isinstance(error, ParcsError):
        return error.with_traceback(None)
    other = copy.copy(error)
    if notes := entries_of(error).get("__notes__"):
        entries_of(other)["__notes__"] = list(notes)
    for name in ("__cause__", "__suppress_context__"):  # in this order: the one sets the other
        set_own(other, name, own(error, name))
    return other


def signal_name(number: int) -> str:
    """Return a signal's name, ``SIGKILL`` for 9."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def quote_lines(lines: tuple[str, ...]) -> str:
    """Return a program's last lines as the end of a sentence, each on a line of its own; "" if there are none."""
    return "".join(["; its last lines:", *(f"\n    {line}" for line in lines)]) if lines else ""
