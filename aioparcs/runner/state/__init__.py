"""
The state of a job: the phases of its workers and launchers, and the rules by which they change.

It is pure: no asyncio, no clock, no sockets. Who uses it passes each stimulus, with the time, to `JobState.handle`,
and carries out the actions that this returns, in their order.
"""

from aioparcs.runner.state.job import JobState
from aioparcs.runner.state.records import LauncherPhase, LauncherRecord, WorkerPhase, WorkerRecord

__all__ = ["JobState", "LauncherPhase", "LauncherRecord", "WorkerPhase", "WorkerRecord"]
