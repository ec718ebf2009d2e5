"""The runner, which starts workers: `Runner`, and what runs one as a whole program."""

from aioparcs.runner.program import Stop, announce_end, explain
from aioparcs.runner.runner import Runner

__all__ = ["Runner", "Stop", "announce_end", "explain"]
