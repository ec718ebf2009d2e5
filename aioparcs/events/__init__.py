"""
The events of a job, the bus that takes them to displays, and their lines in a log.

Programs that write no log of events don't load `codec` and `log`.
"""

from aioparcs.events.bus import EventBus, Subscriber, guarded, program_events, report_once
from aioparcs.events.event import Event
from aioparcs.events.records import (
    Action,
    CallSpan,
    CallSpans,
    LogLines,
    ModuleState,
    Notice,
    PoolProgress,
    PoolRecord,
    PoolState,
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
from aioparcs.events.samples import (
    CallsRunning,
    ChannelSample,
    ChannelSamples,
    Packed,
    PeerChange,
    PeersChanged,
    RunningCall,
    Use,
    WorkerUsage,
)

__all__ = [
    "Action",
    "CallSpan",
    "CallSpans",
    "CallsRunning",
    "ChannelSample",
    "ChannelSamples",
    "Event",
    "EventBus",
    "LogLines",
    "ModuleState",
    "Notice",
    "Packed",
    "PeerChange",
    "PeersChanged",
    "PoolProgress",
    "PoolRecord",
    "PoolState",
    "ProgramEnding",
    "ProgramStarted",
    "RunningCall",
    "Snapshot",
    "StatusLine",
    "Subscriber",
    "Use",
    "WorkerConnected",
    "WorkerExited",
    "WorkerProgress",
    "WorkerStopped",
    "WorkerUsage",
    "WorkersPlaced",
    "WorkersRequested",
    "WorkersWaiting",
    "guarded",
    "program_events",
    "report_once",
]
