"""
The runner, which starts workers: `Runner`; its `program` runs one as a whole program.

That is not imported here: a program that is run again for its functions, by a launcher, names only the class.
"""

from aioparcs.runner.runner import Runner

__all__ = ["Runner"]
