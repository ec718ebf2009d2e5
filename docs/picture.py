"""
Draw the picture of a run that the README shows: ``python docs/picture.py`` writes ``docs/run.svg``.

The run is a real one, on this machine: that of ``aioparcs demo``, under the live display, which then is
rendered once more as it stood at the end.
"""

import contextlib
import io
import os
import re
from pathlib import Path

from rich.console import Console
from rich.text import Text

from aioparcs.cli.demo import VARIABLES
from aioparcs.cli.execute import execute
from aioparcs.display import Detail
from aioparcs.display.live import LiveDisplay
from aioparcs.events import EventBus, program_events

DOCS = Path(__file__).parent
EXAMPLES = DOCS.parent / "examples"
WIDTH = 108  # columns


def main() -> None:
    """Run the example and write the picture."""
    os.environ.update(VARIABLES, PARCS_MODULES=str(EXAMPLES))
    display = LiveDisplay(Console(file=io.StringIO(), width=WIDTH, force_terminal=True), Detail.NORMAL)
    program_events.set(EventBus(display))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = execute(EXAMPLES / "runner")
        display.terminal.close()
    if code:
        raise SystemExit(code)

    picture = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    arguments = " ".join(f"-e {name}={value}" for name, value in VARIABLES.items())
    picture.print(Text.assemble(("$ ", "green"), f"aioparcs run runner --modules examples {arguments}"))
    picture.print(Text(printed.getvalue().rstrip()))
    picture.print(display.table)
    svg = picture.export_svg(title="aioparcs")
    fonts = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # which every reader would fetch from elsewhere
    (DOCS / "run.svg").write_text(fonts.sub("", svg), encoding="utf-8")


main()
