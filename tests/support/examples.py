"""The examples as tests know them: their folders, and the type of the fixture ``example``."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support.command import EXAMPLES

__all__ = ["DIRECTED", "Example", "runner_of", "shape"]

_ONE_FILE = [main.parent for main in EXAMPLES.glob("*/main.py") if "\nrun(main)\n" in main.read_text()]
DIRECTED = sorted(
    {main.parent.parent for main in EXAMPLES.glob("*/runner/main.py")} | {*_ONE_FILE} - {EXAMPLES / "runner"}
)
"""The folders of the examples that have a runner of their own."""

Example = Callable[..., "subprocess.CompletedProcess[str]"]


def runner_of(folder: Path) -> Path:
    """Return the folder of an example's runner: the example itself if it is one program."""
    return folder / "runner" if (folder / "runner").exists() else folder


def shape(output: str) -> str:
    """Return an output without what differs from run to run: numbers, and the words that are counted."""
    output = re.sub(r"(?m)^.*█.*$", "█", output)
    return re.sub(r"\d[\d,.]*(?<=\d)", "0", output)
