"""The runner, which starts workers: `Runner`, and `run`, which runs one as a whole program."""

from aioparcs.runner.program import Stop, explain, run
from aioparcs.runner.runner import Runner

__all__ = ["Runner", "Stop", "explain", "run"]
