"""The messages about workers that go on: their stacks, and what they use, for people who look at the job."""

from typing import Annotated, Any, NamedTuple, Self

from aioparcs.messages.fields import Count, Instance, Items, Nullable, Real, RecordType, pack, unpack
from aioparcs.wire import FrameType

__all__ = ["MOST_PEERS", "MOST_USAGES", "PeerChannel", "Stack", "StackRead", "Usage", "UsageRequest", "WorkerUse"]

# Workers that one report on their usage may have; it fits into a frame many times over.
MOST_USAGES = 1 << 12
# Pairs of workers in it that have channels.
MOST_PEERS = 1000


class Stack(NamedTuple):
    """
    The request for the stacks of a worker that goes on.

    Attributes:
        request: the request's number.
        worker: the worker's number.
    """

    request: Count
    worker: Count

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.STACK, pack(self)

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "STACK", body)


class StackRead(NamedTuple):
    """
    The answer to a request for stacks.

    Attributes:
        request: the request's number.
        text: the stacks of the worker's threads and tasks, each with the most recent call first; None if they can't
            be had.
        problem: why they can't be had.
    """

    request: Count
    text: Annotated[str | None, Nullable(Instance("text", str))]
    problem: Annotated[str | None, Nullable(Instance("text", str))] = None

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.STACK, pack(self)

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "STACK", body)


class WorkerUse(NamedTuple):
    """
    The use that a worker's process makes of its machine.

    Attributes:
        worker: its number.
        cpu: the processor time since the last report, or since it began, as a share of one core.
        memory: bytes of its memory that are in the machine's; what it shares with others counts, too.
    """

    worker: Count
    cpu: Annotated[float, Real()]
    memory: Count


class PeerChannel(NamedTuple):
    """
    A worker has a channel to another one, or several.

    Attributes:
        worker: the number of the one that has dialled.
        peer: the number of the other one.
    """

    worker: Count
    peer: Count


class UsageRequest(NamedTuple):
    """The request for one report on what workers use."""

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.USAGE, b""

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "USAGE", body)


class Usage(NamedTuple):
    """
    The report on what workers use.

    Attributes:
        workers: those whose processes are there, `MOST_USAGES` at most.
        peers: the channels that workers have to other ones, `MOST_PEERS` at most.
    """

    workers: Annotated[list[WorkerUse], Items(RecordType(WorkerUse))]
    peers: Annotated[list[PeerChannel], Items(RecordType(PeerChannel))]

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.USAGE, pack(self)

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "USAGE", body)
