"""The program that directs: `Runner`, and `run` to make a whole program of one."""

from aioparcs.runner.program import Stop, explain, run
from aioparcs.runner.runner import Runner

__all__ = ["Runner", "Stop", "explain", "run"]
