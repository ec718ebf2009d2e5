"""Workers: `Task` for users, `WorkerHandle` for those who supervise them, and what starting returns."""

from aioparcs.task.ending import finish_all
from aioparcs.task.files import check_file_limit
from aioparcs.task.handle import UNEXPLAINED, WorkerHandle
from aioparcs.task.starting import Starting, StartingMany
from aioparcs.task.stream import END_ERRORS, Stream, explain_end
from aioparcs.task.task import Task

__all__ = [
    "END_ERRORS",
    "UNEXPLAINED",
    "Starting",
    "StartingMany",
    "Stream",
    "Task",
    "WorkerHandle",
    "check_file_limit",
    "explain_end",
    "finish_all",
]
