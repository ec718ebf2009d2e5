"""The programs of docs/gallery.md in the way of the original PARCS, and the lines that it says they have."""

import re
from pathlib import Path

import pytest

from benchmarks import gallery
from benchmarks.gallery import PROGRAMS, Compared
from benchmarks.harness import ROOT

SMALL = {
    "floyd_warshall": {"SIDE": 5, "BLOCK": 3},
    "gaussian_elimination": {"N": 30, "WIDTH": 8},
    "discrete_logarithm": {"MODULUS": 1009, "BASE": 11, "TARGET": 500},
    "painting": {"WIDTH": 300, "TILE": 90, "BRUSH": 5},
    "lcs": {"N": 400, "HEIGHT": 60},
}


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_program_in_the_way_of_the_original_finds_what_is_right(program: Compared) -> None:
    output = gallery.run_original(program._replace(size=SMALL[program.name] | {"P": 2}))
    assert output.endswith((": yes\n", ": none\n"))


def test_the_lines_on_the_page_are_those_of_the_programs() -> None:
    page = (ROOT / "docs" / "gallery.md").read_text()
    for program in PROGRAMS:
        (ours, original) = re.findall(rf"(?m)^\| \[{program.name}\].*?\| (\d+) \| (\d+) \|", page)[0]
        counted = gallery.lines(gallery.own_files(program)), gallery.lines(gallery.original_files(program))
        assert (int(ours), int(original)) == counted, program.name


def test_lines_of_code_are_counted_without_comments_docstrings_and_blanks(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        '"""Two\nlines."""\n\nx = """a\nb"""  # text\n\n\n# why\ndef f():\n    "doc"\n    return x\n'
    )
    assert gallery.lines([tmp_path / "main.py"]) == 4
