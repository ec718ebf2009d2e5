"""
The events of a job, the bus that takes them to displays, and their lines in a log.

Programs that write no log of events don't load `codec` and `log`.
"""

from aioparcs.events.bus import EventBus, Subscriber, guarded, program_events
from aioparcs.events.records import (
    Event,
    LogLines,
    ModuleState,
    Notice,
    PoolProgress,
    PoolRecord,
    PoolState,
    ProgramEnding,
    Snapshot,
    StatusLine,
    WorkerConnected,
    WorkerExited,
    WorkerProgress,
    WorkersPlaced,
    WorkersRequested,
    WorkerStopped,
)

__all__ = [
    "Event",
    "EventBus",
    "LogLines",
    "ModuleState",
    "Notice",
    "PoolProgress",
    "PoolRecord",
    "PoolState",
    "ProgramEnding",
    "Snapshot",
    "StatusLine",
    "Subscriber",
    "WorkerConnected",
    "WorkerExited",
    "WorkerProgress",
    "WorkerStopped",
    "WorkersPlaced",
    "WorkersRequested",
    "guarded",
    "program_events",
]
