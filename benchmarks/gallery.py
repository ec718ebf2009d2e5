"""
Five programs of docs/gallery.md, each in aioparcs and in the way of the original PARCS: lines of code, and time.

Both ways share the files that compute, and print the same lines; before any timing all of these are compared. What is
timed is what both print: from before the first worker is started until the result is there.
"""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import ROOT, ProgramFailed, Progress, take_turns
from benchmarks.results import Measured, Results, ratio

_ORIGINAL, _EXAMPLES = ROOT / "benchmarks" / "original", ROOT / "examples"
_PATIENCE = 300.0  # seconds for a program; its first run may install NumPy for its workers
_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


class Compared(NamedTuple):
    """A program by the name of its folders in examples/ and benchmarks/original/, and its size."""

    name: str
    size: dict[str, int]

    @property
    def folders(self) -> list[Path]:
        """The example's folders: of one program, or of its runner and its module."""
        return sorted({main.parent for main in (_EXAMPLES / self.name).glob("**/main.py")})

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")


PROGRAMS = (
    Compared("floyd_warshall", {"SIDE": 30}),
    Compared("gaussian_elimination", {"N": 1500}),
    Compared("discrete_logarithm", {}),
    Compared("painting", {"WIDTH": 1600}),
    Compared("lcs", {"N": 100_000}),
)


def measure(rounds: int, progress: Progress, programs: tuple[Compared, ...] = PROGRAMS) -> Results:
    """Compare the outputs of each program, then time both ways in pairs."""
    results = Results()
    for number, program in enumerate(programs):
        check(program)
        ours: list[float] = []
        original: list[float] = []
        for turn in range(rounds):
            seconds, theirs = take_turns(turn, partial(_time, run_ours, program), partial(_time, run_original, program))
            ours.append(seconds)
            original.append(theirs)
            progress(number * rounds + turn + 1, len(programs) * rounds)
        results.figures += [
            Measured(f"{program.name}_s", program.title, ours, "s"),
            Measured(f"{program.name}_original_s", "... the original's way", original, "s"),
            Measured(f"{program.name}_lines", "... lines of code", [lines(own_files(program))], ""),
            Measured(f"{program.name}_original_lines", "... the original's", [lines(original_files(program))], ""),
        ]
        what = f"{program.title}: time / the original's"
        results.ratios.append(ratio(f"{program.name}_vs_original", what, ours, original, None))
    return results


def check(program: Compared) -> None:
    """
    Run a program both ways.

    Raises:
        ProgramFailed: one of them failed, found that its result is wrong, or printed another one.
    """
    ours, original = run_ours(program), run_original(program)
    if not ours.endswith((": yes\n", ": none\n")):
        raise ProgramFailed(f"{program.name} computed something else: {ours}")
    if _without_figures(ours) != _without_figures(original):
        raise ProgramFailed(f"the two ways of {program.name} differ:\n{ours}{original}")


def run_ours(program: Compared) -> str:
    """Run an example, and return what it printed."""
    runner = _EXAMPLES / program.name / "runner"
    folder = runner if runner.is_dir() else runner.parent
    variables = [word for name, value in program.size.items() for word in ("-e", f"{name}={value}")]
    return _run(["-m", "aioparcs", "run", str(folder), "-q", *variables], {})


def run_original(program: Compared) -> str:
    """Run a program in the way of the original, and return what it printed."""
    path = os.pathsep.join(map(str, [_ORIGINAL, *program.folders]))
    variables = {name: str(value) for name, value in program.size.items()}
    return _run([str(_ORIGINAL / program.name / "runner.py")], {**variables, "PYTHONPATH": path})


def _run(command: list[str], variables: dict[str, str]) -> str:
    """Run a program to its end, with one thread for each worker's NumPy, and return what it printed."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", **variables}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=_PATIENCE
    )
    if done.returncode:
        raise ProgramFailed(f"{' '.join(command)} failed: {done.stderr}")
    return done.stdout


def _without_figures(output: str) -> str:
    """Return an output without its time, and the digits that rounding decides."""
    return re.sub(r"\d+\.\d\d s|\d+e-\d+", "", output)


def _time(way: Callable[[Compared], str], program: Compared) -> float:
    """Run a program, and return the seconds that it says."""
    (seconds,) = re.findall(r"(\d+\.\d\d) s\n", way(program))
    return float(seconds)


def own_files(program: Compared) -> list[Path]:
    """Return the files of an example that the original's way doesn't use."""
    return [folder / "main.py" for folder in program.folders]


def original_files(program: Compared) -> list[Path]:
    """Return the files of a program in the original's way, without those that it shares with the example."""
    return sorted((_ORIGINAL / program.name).glob("*.py"))


def lines(files: list[Path]) -> int:
    """Count the lines of some programs that have code: neither blank nor a comment or a docstring."""
    return sum(_lines(path.read_text()) for path in files)


def _lines(text: str) -> int:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    used = {row for token in tokens if token.type not in _LAYOUT for row in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            used -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(used)
