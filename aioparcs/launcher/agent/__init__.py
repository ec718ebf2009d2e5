"""The agent of a launcher, and the output of workers that it reads."""

from aioparcs.launcher.agent.agent import LauncherAgent
from aioparcs.launcher.agent.lines import Lines
from aioparcs.launcher.agent.output import PROGRESS

__all__ = ["PROGRESS", "LauncherAgent", "Lines"]
