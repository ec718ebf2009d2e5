"""The handles on workers: `Task`, one for each, and what starting returns."""

from aioparcs.task.ending import finish_all
from aioparcs.task.files import check_file_limit
from aioparcs.task.starting import Starting, StartingMany
from aioparcs.task.task import Task

__all__ = ["Starting", "StartingMany", "Task", "check_file_limit", "finish_all"]
