"""The messages of a control connection: what a runner asks of a launcher, and what that reports."""

import signal
from typing import Annotated, Any, NamedTuple, Self

from aioparcs.errors import ProtocolError
from aioparcs.messages.fields import (
    HIGHEST,
    Bounded,
    Count,
    FieldType,
    Instance,
    Integer,
    Items,
    Message,
    Nullable,
    Real,
    RecordType,
    Text,
    Texts,
    pack,
    read,
    unpack,
)
from aioparcs.messages.keeping import Keep, Kept
from aioparcs.messages.watching import Stack, StackRead, Usage, UsageRequest
from aioparcs.wire import Frame, FrameType

__all__ = [
    "ALL",
    "DATAGRAM_SIZE",
    "FILES_WINDOW",
    "LONGEST_PIECE",
    "REPORTS",
    "REQUESTS",
    "Exited",
    "Files",
    "FilesTaken",
    "Keep",
    "Kept",
    "Kill",
    "LauncherReport",
    "LauncherRequest",
    "Log",
    "LogLine",
    "LogReceived",
    "Progress",
    "Stack",
    "StackRead",
    "Start",
    "Started",
    "Usage",
    "UsageRequest",
    "read_datagram",
    "read_launcher_report",
    "read_launcher_request",
    "to_datagram",
]

# The worker's number in a KILL that ends all workers, and the job.
ALL = -1
# Workers that one request may ask for: the end of each is reported by itself, also when there is no room for it.
_MOST = 1 << 16
# Bytes that one message between agent and fork server may have.
DATAGRAM_SIZE = 64 << 10
# Bytes of files that one message may have, and how many of these messages may wait in a launcher.
LONGEST_PIECE, FILES_WINDOW = 256 << 10, 8
# A request has to fit into one of those.
_ADDRESS = Bounded("text of at most 1000 characters", str, 1000)
# What a worker had made when it ended; launchers of this package keep 48 KiB.
_RESULTS = Bounded("bytes, at most 256 KiB", bytes, 256 << 10)
_PIECE = Bounded("bytes, at most 256 KiB", bytes, LONGEST_PIECE)


class _Limits(NamedTuple):
    """What a worker can be limited to."""

    name: str = "map"

    def read(self, value: Any) -> dict[str, float]:
        types: dict[str, FieldType] = {"cpus": Real(), "memory": Integer(1, HIGHEST), "gpus": Integer(1, HIGHEST)}
        if type(value) is not dict or not value.keys() <= types.keys():
            raise ValueError
        return {name: types[name].read(limit) for name, limit in value.items()}


class Start(NamedTuple):
    """
    The request for workers, numbered consecutively.

    Attributes:
        first: the number of the first of them.
        workers: how many.
        base: the number of the first of those started together; a worker's rank is its number minus this.
        size: how many are started together.
        limits: the limits of each worker, if there are any: ``cpus`` (whole ones), ``memory`` (bytes), ``gpus``.
        parent: the address of the service that they dial, None for the runner.
    """

    first: Count
    workers: Annotated[int, Integer(1, _MOST)]
    base: Count
    size: Count
    limits: Annotated[dict[str, float], _Limits()]
    parent: Annotated[str | None, Nullable(_ADDRESS)] = None

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.START, pack(self)

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "START", body)


class Started(NamedTuple):
    """
    The report that a worker is a process, and about to dial.

    Attributes:
        worker: its number.
        pid: its process id.
    """

    worker: Count
    pid: Count

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.STARTED, pack(self)

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "STARTED", body)


class Exited(NamedTuple):
    """
    The report of a worker's end.

    Attributes:
        worker: its number.
        code: its exit code, as ``subprocess`` has it: negative for a signal. None if it never was a process.
        lines: the last lines that it printed, and behind them what else is known of the reason.
        results: RESULT frames that it has made and perhaps not sent.
    """

    worker: Count
    code: Annotated[int | None, Nullable(Integer(-(1 << 31), (1 << 32) - 1))]
    lines: Texts
    results: Annotated[bytes, _RESULTS] = b""

    def encode(self) -> tuple[FrameType, bytes]:
        results = [self.results] if self.results else []
        return FrameType.EXITED, pack([self.worker, self.code, self.lines, *results])

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "EXITED", body)


class Kill(NamedTuple):
    """
    The request to send a worker a signal; SIGTERM is followed by SIGKILL.

    Attributes:
        worker: its number, or `ALL`.
        signal: the signal's number.
    """

    worker: Annotated[int, Integer(ALL, HIGHEST)]
    signal: Annotated[int, Integer(1, signal.NSIG - 1)]

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.KILL, pack(self)

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "KILL", body)


class Files(NamedTuple):
    """
    A piece of the files that the launcher shall have before it starts a worker.

    Attributes:
        piece: the next bytes of a tar; none at its end.
    """

    piece: Annotated[bytes, _PIECE]

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.FILES, pack(self)

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "FILES", body)


class FilesTaken(NamedTuple):
    """
    The report on files.

    Attributes:
        pieces: how many messages were taken so far; the last one counts when all files are in their places.
        problem: why the launcher can't have them; None as long as it can.
    """

    pieces: Count
    problem: Annotated[str | None, Nullable(Instance("text", str))] = None

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.FILES, pack(self)

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "FILES", body)


class LogLine(NamedTuple):
    """A line that a worker printed, without its end."""

    worker: Count
    text: Text


class Log(NamedTuple):
    """
    Lines that workers printed.

    Attributes:
        lines: the lines.
        dropped: how many were lost before them.
    """

    lines: Annotated[list[LogLine], Items(RecordType(LogLine))]
    dropped: Count

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.LOG, pack(self)

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "LOG", body)


class LogReceived(NamedTuple):
    """The acknowledgement of a LOG; the launcher sends the next one only then."""

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.LOG, b""

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "LOG", body)


class Progress(NamedTuple):
    """
    A worker's progress.

    Attributes:
        worker: its number.
        done: how much is done.
        total: how much there is to do.
    """

    worker: Count
    done: Annotated[float, Real()]
    total: Annotated[float, Real()]

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.PROGRESS, pack(self)

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "PROGRESS", body)


LauncherRequest = Start | Kill | LogReceived | Files | Stack | UsageRequest | Keep
LauncherReport = Started | Exited | Log | Progress | FilesTaken | StackRead | Usage | Kept

# The messages of each side, by the types of their frames.
REQUESTS: dict[int, Any] = {
    FrameType.START: Start,
    FrameType.KILL: Kill,
    FrameType.LOG: LogReceived,
    FrameType.FILES: Files,
    FrameType.STACK: Stack,
    FrameType.USAGE: UsageRequest,
    FrameType.MEMORY: Keep,
}
REPORTS: dict[int, Any] = {
    FrameType.STARTED: Started,
    FrameType.EXITED: Exited,
    FrameType.LOG: Log,
    FrameType.PROGRESS: Progress,
    FrameType.FILES: FilesTaken,
    FrameType.STACK: StackRead,
    FrameType.USAGE: Usage,
    FrameType.MEMORY: Kept,
}
# What the agent and the fork server send each other.
_DATAGRAMS: dict[int, Any] = {
    FrameType.START: Start,
    FrameType.KILL: Kill,
    FrameType.STARTED: Started,
    FrameType.EXITED: Exited,
}


def read_launcher_request(frame: Frame) -> LauncherRequest:
    """
    Return what a runner asks of its launcher.

    Raises:
        ProtocolError: it may not send this frame.
    """
    request: LauncherRequest = read(frame, REQUESTS)
    return request


def read_launcher_report(frame: Frame) -> LauncherReport:
    """
    Return what a launcher reports to its runner.

    Raises:
        ProtocolError: it may not send this frame.
    """
    report: LauncherReport = read(frame, REPORTS)
    return report


def to_datagram(message: Message) -> bytes:
    """Return a message as the agent and the fork server send it each other: the frame's type and its body."""
    type, body = message.encode()
    return bytes([type]) + body


def read_datagram(data: bytes) -> Start | Kill | Started | Exited:
    """
    Return what the agent or the fork server has sent the other.

    Raises:
        ProtocolError: it is none of their messages.
    """
    if not data or data[0] not in _DATAGRAMS:
        raise ProtocolError("a message between agent and fork server begins with the type of its frame")
    message: Start | Kill | Started | Exited = read(Frame(data[0], data[1:]), _DATAGRAMS)
    return message
