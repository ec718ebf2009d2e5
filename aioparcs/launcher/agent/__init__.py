"""The agent of a launcher, and the output of workers that it reads."""

from aioparcs.launcher.agent.agent import LauncherAgent
from aioparcs.launcher.agent.lines import Lines

__all__ = ["LauncherAgent", "Lines"]
