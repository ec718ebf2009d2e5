"""The program of the reference that looks at a Swarm: it prints what the page shows."""

import sys
from pathlib import Path

from tests.support.command import execute
from tests.support.documents import blocks
from tests.support.live import Cluster

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "swarm.md"


def test_the_program_of_the_page_prints_what_it_shows(cluster: Cluster) -> None:
    program, output = (block.text for block in blocks(PAGE) if block.words[0] in ("python", "console"))
    done = execute([sys.executable, "-c", program], None, **cluster.environment)
    assert done.stdout == output.partition("\n")[2], done.stderr
