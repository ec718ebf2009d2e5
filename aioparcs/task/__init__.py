"""Whoever starts workers holds these: `Task`, the handle on one, and what starting returns."""

from aioparcs.task.ending import finish_all, in_full
from aioparcs.task.files import check_file_limit, os_reason
from aioparcs.task.starting import Starting, StartingMany
from aioparcs.task.task import Task

__all__ = ["Starting", "StartingMany", "Task", "check_file_limit", "finish_all", "in_full", "os_reason"]
