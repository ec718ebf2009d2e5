"""Workers: `Task` for users, `WorkerHandle` for those who supervise them, and what starting returns."""

from aioparcs.task.ending import finish_all
from aioparcs.task.files import check_file_limit
from aioparcs.task.handle import UNEXPLAINED, WorkerHandle, WorkerOwner
from aioparcs.task.spans import FAILURES, SHORT, Merging, SpanCollector
from aioparcs.task.starting import Starting, StartingMany
from aioparcs.task.stream import END_ERRORS, Stream, explain_end
from aioparcs.task.task import Task
from aioparcs.task.trace import TaskTrace

__all__ = [
    "END_ERRORS",
    "FAILURES",
    "SHORT",
    "UNEXPLAINED",
    "Merging",
    "SpanCollector",
    "Starting",
    "StartingMany",
    "Stream",
    "Task",
    "TaskTrace",
    "WorkerHandle",
    "WorkerOwner",
    "check_file_limit",
    "explain_end",
    "finish_all",
]
