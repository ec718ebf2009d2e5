"""The examples as tests know them: their folders, and the type of the fixture ``example``."""

import re
import subprocess
from collections.abc import Callable

from tests.support.command import EXAMPLES

__all__ = ["DIRECTED", "Example", "shape"]

DIRECTED = sorted(main.parent.parent for main in EXAMPLES.glob("*/runner/main.py"))
"""The folders of the examples that have a runner of their own."""

Example = Callable[..., "subprocess.CompletedProcess[str]"]


def shape(output: str) -> str:
    """Return an output without what differs from run to run: numbers, and the words that are counted."""
    output = re.sub(r"(?m)^.*█.*$", "█", output)
    return re.sub(r"\d[\d,.]*(?<=\d)", "0", output)
