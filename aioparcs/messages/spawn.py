"""The messages of a parent's connection: a service has workers started, and the runner reports on them."""

import signal
from typing import Annotated, Any, NamedTuple, Self

from aioparcs.errors import ProtocolError, StartError, WorkerLost
from aioparcs.messages.fields import (
    HIGHEST,
    Bytes,
    Count,
    Flag,
    Instance,
    Integer,
    Items,
    Nullable,
    Number,
    OneOf,
    RecordType,
    Table,
    Text,
    Texts,
    pack,
    read,
    unpack,
)
from aioparcs.wire import Frame, FrameType

__all__ = [
    "REPORTS",
    "REQUESTS",
    "ChildConnected",
    "ChildExited",
    "ChildStarted",
    "KillChild",
    "Loss",
    "Spawn",
    "SpawnExpected",
    "SpawnRefusal",
    "SpawnReport",
    "SpawnRequest",
    "Spawned",
    "StartFailure",
    "read_spawn_report",
    "read_spawn_request",
]

# Characters of a reason, and of all last lines together, that are sent to a service.
_LONGEST = 64 << 10
# Characters of each text of a refusal, which may quote the request.
_LONGEST_TEXT = 8 << 10


class Spawn(NamedTuple):
    """
    The request of a service for workers.

    Attributes:
        id: the request's number, higher than all before.
        module: the module's name.
        workers: how many.
        options: those that a service may choose, by their names.
        address: where they dial the service.
    """

    id: Count
    module: Text
    workers: Annotated[int, Integer(1, HIGHEST)]
    options: Table
    address: Text

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.SPAWN, pack(self, strict=True)

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "SPAWN", body)


class SpawnRefusal(NamedTuple):
    """
    The reason why a service gets no workers.

    Attributes:
        error: the error map.
        reason: see `StartError`.
        last_lines: see `StartError`.
    """

    error: dict[str, Any]
    reason: str
    last_lines: list[str]

    @classmethod
    def of(cls, error: Exception, encoded: dict[str, Any]) -> Self:
        """Return the refusal for an error and its error map; texts that quote the request are cut."""
        reason, lines = (error.reason, error.last_lines) if isinstance(error, StartError) else (str(error), ())
        short = {name: value[:_LONGEST_TEXT] if isinstance(value, str) else value for name, value in encoded.items()}
        return cls({**short, "cause": None}, reason[:_LONGEST_TEXT], [line[:_LONGEST_TEXT] for line in lines])

    @classmethod
    def from_map(cls, values: dict[Any, Any]) -> Self:
        """
        Return the refusal of an error map.

        Raises:
            ValueError: it has no reason, or no last lines.
        """
        text = Instance("text", str)
        return cls(values, text.read(values.get("reason")), Items(text).read(values.get("last_lines")))

    def to_map(self) -> dict[str, Any]:
        """Return the error map, with the keys of a start's failure besides."""
        return {**self.error, "reason": self.reason, "last_lines": self.last_lines}


class _RefusalType(NamedTuple):
    """Error maps with ``reason`` and ``last_lines``."""

    name: str = "error map"

    def read(self, value: Any) -> SpawnRefusal:
        if type(value) is not dict:
            raise ValueError
        return SpawnRefusal.from_map(value)


class Spawned(NamedTuple):
    """
    The answer to a request: there are places for its workers, or there will be none.

    Attributes:
        id: the request's number.
        first: the number of the first worker, None if the request is refused.
        error: why it is refused, None if it isn't.
    """

    id: Count
    first: Annotated[int | None, Nullable(Number())]
    error: Annotated[SpawnRefusal | None, Nullable(_RefusalType())]

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.SPAWNED, pack([self.id, self.first, self.error and self.error.to_map()])

    @classmethod
    def decode(cls, body: Any) -> Self:
        spawned: Self = unpack(cls, "SPAWNED", body)
        if (spawned.first is None) is (spawned.error is None):
            raise ProtocolError("a SPAWNED frame holds either a first worker or an error")
        return spawned


class SpawnExpected(NamedTuple):
    """The service's word that it expects the workers of a request: only then they are started."""

    id: Count

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.SPAWNED, pack(self)

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "SPAWNED", body)


class ChildConnected(NamedTuple):
    """The service's report that one of its workers is connected."""

    worker: Count

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.STARTED, pack(self)

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "STARTED", body)


class StartFailure(NamedTuple):
    """The reason why a start has failed, see `StartError`."""

    reason: Text
    last_lines: Texts

    @classmethod
    def of(cls, reason: str, last_lines: tuple[str, ...]) -> Self:
        """Return a failure that fits into a frame."""
        return cls(reason[:_LONGEST], _few(last_lines))


class ChildStarted(NamedTuple):
    """
    The runner's report of a worker's node, or of its start's failure.

    Attributes:
        worker: its number.
        node: the name of the machine that it is on, "" if it isn't known.
        problem: why its start has failed, None if it hasn't.
    """

    worker: Count
    node: Text
    problem: Annotated[StartFailure | None, Nullable(RecordType(StartFailure))]

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.STARTED, pack(self)

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "STARTED", body)


class Loss(NamedTuple):
    """The reason of a worker's unclean end, see `WorkerLost`."""

    reason: Text
    exitcode: Annotated[int | None, Nullable(Instance("integer", int))]
    signal: Annotated[int | None, Nullable(Instance("integer", int))]
    last_lines: Texts

    @classmethod
    def of(cls, lost: WorkerLost) -> Self:
        """Return what a frame says of an error."""
        return cls(lost.reason[:_LONGEST], lost.exitcode, lost.signal, _few(lost.last_lines))

    def to_error(self, name: str) -> WorkerLost:
        """Return the error for the worker of this name."""
        lines = tuple(self.last_lines)
        return WorkerLost(name, self.reason, exitcode=self.exitcode, signal=self.signal, last_lines=lines)


class ChildExited(NamedTuple):
    """
    The runner's report of a worker's end.

    Attributes:
        worker: its number.
        how: why it has ended, None for a clean end.
        cut: True when nothing of what it sent will come.
        results: see `Exited`.
    """

    worker: Count
    how: Annotated[Loss | None, Nullable(RecordType(Loss))]
    cut: Flag
    results: Bytes = b""

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.EXITED, pack(self)

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "EXITED", body)


class KillChild(NamedTuple):
    """The request of a service to send one of its workers SIGTERM or SIGKILL: other signals may mean anything."""

    worker: Count
    signal: Annotated[int, OneOf((signal.SIGKILL, signal.SIGTERM))]

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.KILL, pack(self)

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "KILL", body)


SpawnRequest = Spawn | SpawnExpected | ChildConnected | KillChild
SpawnReport = Spawned | ChildStarted | ChildExited

# The messages of each side, by the types of their frames.
REQUESTS: dict[int, Any] = {
    FrameType.SPAWN: Spawn,
    FrameType.SPAWNED: SpawnExpected,
    FrameType.STARTED: ChildConnected,
    FrameType.KILL: KillChild,
}
REPORTS: dict[int, Any] = {FrameType.SPAWNED: Spawned, FrameType.STARTED: ChildStarted, FrameType.EXITED: ChildExited}


def read_spawn_request(frame: Frame) -> SpawnRequest:
    """
    Return what a service asks of the runner.

    Raises:
        ProtocolError: it may not send this frame.
    """
    request: SpawnRequest = read(frame, REQUESTS)
    return request


def read_spawn_report(frame: Frame) -> SpawnReport:
    """
    Return what the runner reports to a service.

    Raises:
        ProtocolError: it may not send this frame.
    """
    report: SpawnReport = read(frame, REPORTS)
    return report


def _few(lines: tuple[str, ...]) -> list[str]:
    """Return the last of some lines, as many as fit into the limit."""
    kept: list[str] = []
    room = _LONGEST
    for line in reversed(lines):
        if (room := room - len(line)) < 0:
            break
        kept.append(line)
    return kept[::-1]
