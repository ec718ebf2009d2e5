"""The records of what is measured now and then: calls, channels, processes and peers; and of many events at once."""

from typing import NamedTuple

__all__ = [
    "CallsRunning",
    "ChannelSample",
    "ChannelSamples",
    "Packed",
    "PeerChange",
    "PeersChanged",
    "RunningCall",
    "StackSample",
    "Use",
    "WorkerUsage",
]


class RunningCall(NamedTuple):
    """
    A call that a worker runs.

    Attributes:
        worker: the worker's number.
        function: the function's name, "" for that of a module with only one.
        call: which call it is, for people: the number of its item, and its arguments, shortened.
        begin: when it began, as the program's clock has it. Where a worker runs several at once, and no subscriber
            wants calls, it is when the worker last had a result, and so perhaps too late.
    """

    worker: int
    function: str
    call: str
    begin: float


class CallsRunning(NamedTuple):
    """
    The calls that have run for over a second, at most once a second and only when they have changed.

    Attributes:
        pool: the number in its program of the pool that has made them, None for calls of tasks.
        calls: the oldest 100 of them, the oldest first; the oldest 5 where no subscriber wants calls.
    """

    time: float
    pool: int | None
    calls: tuple[RunningCall, ...]


class ChannelSample(NamedTuple):
    """
    What a worker's channel to the runner has carried so far, seen from the runner.

    Attributes:
        worker: its number.
        sent: frames that were written: messages, calls, pings.
        received: frames that have arrived and were taken: messages, results of calls, pings.
        bytes_sent: bytes that were written.
        bytes_received: bytes that have arrived.
        queued: bytes that wait to be written: the worker doesn't read, or the network is slow.
        unread: bytes that have arrived and that the program has not received.
    """

    worker: int
    sent: int
    received: int
    bytes_sent: int
    bytes_received: int
    queued: int
    unread: int = 0


class ChannelSamples(NamedTuple):
    """
    The channels that have carried something, published only where a subscriber wants calls.

    Attributes:
        samples: at most 100, of channels that have changed since their last sample: those whose last one is the oldest.
    """

    time: float
    samples: tuple[ChannelSample, ...]


class Use(NamedTuple):
    """
    The use that a worker's process makes of its machine, without the processes that it has started.

    Attributes:
        worker: its number.
        cpu: the processor time since it was last measured, or since it began, as a share of one core.
        memory: bytes of its memory that are in the machine's; what it shares with other workers counts, too.
    """

    worker: int
    cpu: float
    memory: int


class WorkerUsage(NamedTuple):
    """
    The use that workers of one launcher make of its machine, each five seconds where a subscriber wants calls.

    Attributes:
        usages: of workers whose processes are there; at most 4,096.
    """

    time: float
    usages: tuple[Use, ...]


class PeerChange(NamedTuple):
    """
    A channel between two workers, or the last one between them.

    Attributes:
        worker: the number of the worker that has dialled.
        peer: the number of the other one.
        is_open: whether it is open now, and not closed.
    """

    worker: int
    peer: int
    is_open: bool


class PeersChanged(NamedTuple):
    """
    Channels between workers were opened or closed in the last five seconds; only where a subscriber wants calls.

    Attributes:
        changes: those of the workers of one launcher, at most 2,000; short-lived channels are not among them.
    """

    time: float
    changes: tuple[PeerChange, ...]


class StackSample(NamedTuple):
    """
    Where a worker is whose call runs for long, or the program itself; only where a subscriber wants stacks.

    Attributes:
        worker: the worker's number, None for the program.
        text: its stacks, or why they can't be had.
    """

    time: float
    worker: int | None
    text: str


class Packed(NamedTuple):
    """
    Many events as one, for a log: see `packing`.

    Attributes:
        data: their lines, compressed, in base64.
        dropped: how many others had no room so far.
    """

    time: float
    data: str
    dropped: int
