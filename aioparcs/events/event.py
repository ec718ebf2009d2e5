"""The type of all events."""

from aioparcs.events.records import (
    Action,
    CallSpans,
    LogLines,
    Notice,
    PoolProgress,
    ProgramEnding,
    ProgramStarted,
    Snapshot,
    StatusLine,
    WorkerConnected,
    WorkerExited,
    WorkerProgress,
    WorkersPlaced,
    WorkersRequested,
    WorkerStopped,
    WorkersWaiting,
)
from aioparcs.events.samples import CallsRunning, ChannelSamples, Packed, PeersChanged, StackSample, WorkerUsage

__all__ = ["Event"]

# Something that has happened in a program, and its time.
Event = (
    Action
    | CallSpans
    | CallsRunning
    | ChannelSamples
    | LogLines
    | Notice
    | Packed
    | PeersChanged
    | PoolProgress
    | ProgramEnding
    | ProgramStarted
    | Snapshot
    | StackSample
    | StatusLine
    | WorkerConnected
    | WorkerExited
    | WorkerProgress
    | WorkersPlaced
    | WorkersRequested
    | WorkersWaiting
    | WorkerStopped
    | WorkerUsage
)
