"""The program that directs: `Runner`, and `run` to make a whole program of one."""

from aioparcs.runner.run import Stop, explain, run
from aioparcs.runner.runner import Runner
from aioparcs.runner.starting import Starting, StartingMany

__all__ = ["Runner", "Starting", "StartingMany", "Stop", "explain", "run"]
