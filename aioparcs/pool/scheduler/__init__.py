"""
The decisions of a pool: which worker gets which call.

Nothing here does input or output, or reads a clock: a `Performer` performs what is decided.
"""

from aioparcs.pool.scheduler.actions import Action, Assign, Cancel, Drained, Expire, Pull, Repeat, Revoke, Settle, Wake
from aioparcs.pool.scheduler.call import (
    CallPhase,
    Client,
    LimitedCall,
    Outcome,
    PendingCall,
    Supply,
    not_arguments,
    take_queued,
)
from aioparcs.pool.scheduler.hedging import read_hedge
from aioparcs.pool.scheduler.rate import read_rate
from aioparcs.pool.scheduler.retry import Retry, note_tries
from aioparcs.pool.scheduler.scheduler import Scheduler
from aioparcs.pool.scheduler.status import Load, SchedulerStatus, long_calls
from aioparcs.pool.scheduler.tally import Tally
from aioparcs.pool.scheduler.worker_state import Result, WorkerPhase, WorkerState, is_fatal, is_missing

__all__ = [
    "Action",
    "Assign",
    "CallPhase",
    "Cancel",
    "Client",
    "Drained",
    "Expire",
    "LimitedCall",
    "Load",
    "Outcome",
    "PendingCall",
    "Pull",
    "Repeat",
    "Result",
    "Retry",
    "Revoke",
    "Scheduler",
    "SchedulerStatus",
    "Settle",
    "Supply",
    "Tally",
    "Wake",
    "WorkerPhase",
    "WorkerState",
    "is_fatal",
    "is_missing",
    "long_calls",
    "not_arguments",
    "note_tries",
    "read_hedge",
    "read_rate",
    "take_queued",
]
