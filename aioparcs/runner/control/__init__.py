"""The control of a job that runs by other processes of its user, over a socket beside its history."""

from aioparcs.runner.control.actions import JobActions
from aioparcs.runner.control.server import ControlServer

__all__ = ["ControlServer", "JobActions"]
