"""The runner's side of its launchers: their connections, and the files and stacks that go over these."""

from aioparcs.runner.launchers.client import LauncherClient
from aioparcs.runner.launchers.file_sender import FileSender
from aioparcs.runner.launchers.stack_requests import StackRequests

__all__ = ["FileSender", "LauncherClient", "StackRequests"]
