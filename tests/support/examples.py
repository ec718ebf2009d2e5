"""The examples as tests know them: their folders, and the type of the fixture ``example``."""

import subprocess
from collections.abc import Callable

from tests.support.command import EXAMPLES

__all__ = ["DIRECTED", "Example"]

DIRECTED = sorted(main.parent.parent for main in EXAMPLES.glob("*/runner/main.py"))
"""The folders of the examples that have a runner of their own."""

Example = Callable[..., "subprocess.CompletedProcess[str]"]
