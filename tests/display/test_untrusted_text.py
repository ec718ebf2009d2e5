"""Hostile text and impossible reports in displays, and the effects of a display's own errors."""

import asyncio
import io
import os
import pty
import re
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf, nan
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console as Screen

from aioparcs.display import Detail
from aioparcs.display.console import Console
from aioparcs.display.live import LiveDisplay
from aioparcs.display.plain import PlainDisplay
from aioparcs.display.text import sanitize
from aioparcs.display.view import JobView
from aioparcs.events import Event, LogLines, Notice, Subscriber, WorkerProgress, WorkersRequested
from tests.support.command import in_terminal, run, visible
from tests.support.jobs import MODULES, EventRecorder, job, module


@pytest.mark.parametrize(
    "line, colored, plain",
    [
        ("plain [b]text[/b]", "plain [b]text[/b]", "plain [b]text[/b]"),
        ("a\tb", "a\tb", "a\tb"),
        ("\x1b[31mred", "\x1b[31mred\x1b[0m", "red"),
        ("up\x1b[5A\x1b[2J\x07\x08 \x1b]0;title\x07end\x1b", "up end", "up end"),
        ("10 %\r50 %\r99 %\r", "99 %", "99 %"),
    ],
)
def test_escape_sequences_are_removed_from_output(line: str, colored: str, plain: str) -> None:
    assert sanitize(line, color=True) == colored
    assert sanitize(line, color=False) == plain


FORBIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


@pytest.mark.slow
@pytest.mark.parametrize("category", FORBIDDEN)
@pytest.mark.parametrize("color", [True, False])
def test_no_control_or_format_character_is_printed(category: str, color: bool) -> None:
    joiners_and_marks = set("\t\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2")
    joiners_and_marks |= set("\U000110bd\U000110cd")
    for character in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(character) == category and character not in "\r\x1b\x90\x98\x9b\x9d\x9e\x9f":
            kept = character if character in joiners_and_marks else ""
            assert sanitize(f"a{character}b", color=color) == f"a{kept}b", hex(ord(character))


@pytest.mark.slow
def test_all_other_characters_are_printed() -> None:
    kept = [one for one in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(one) not in FORBIDDEN]
    assert sanitize("".join(kept), color=False) == "".join(kept)


@pytest.mark.parametrize(
    "sequence",
    [
        "\x1b[2J", "\x9b2J", "\x1b[?1049h", "\x1b]0;title\x07", "\x1b]0;title\x1b\\", "\x9d0;title\x9c",
        "\x1bPq#0\x1b\\",
        "\x90q#0\x9c", "\x1b_note\x1b\\", "\x9fnote\x9c", "\x1b^note\x1b\\", "\x1bXnote\x1b\\", "\x1b(0",
        "\x1bc", "\x1b7",
        "\x1b]8;;http://example.org\x07", "\x9b31m",
    ],
)  # fmt: skip
@pytest.mark.parametrize("color", [True, False])
def test_a_whole_escape_sequence_is_left_out(sequence: str, color: bool) -> None:
    assert sanitize(f"a{sequence}b", color=color) == "ab"


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["\x1b]", "\x9d", "\x1bP", "\x9b1;", "\x1b[1;", "\x1b ", "\x1b[31m", "\x85"])
def test_hostile_lines_take_time_in_proportion_to_their_length(piece: str) -> None:
    line = piece * (200_000 // len(piece))
    begun = time.process_time()
    sanitize(line, color=True)
    assert time.process_time() - begun < 2


RAW = "\x1b]0;title\x07\x1b[2J\x9b2J\u202edesrever\x1b[31mred\nnoisy:7 | forged"


@contextmanager
def stderr_on_a_terminal(monkeypatch: pytest.MonkeyPatch, **env: str) -> Iterator[Callable[[int], str]]:
    """Replace standard error by a terminal; return a function that returns what was written there."""
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.setenv(name, env.get(name, ""))
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal, os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)

        def written(size: int) -> str:
            text = ""
            while len(text) < size:
                text += terminal.read(65536).decode().replace("\r\n", "\n")
            return text

        yield written


def show_raw(display: Subscriber) -> None:
    """Show hostile text in every place of a display."""
    display(LogLines(0, "noisy", ((0, RAW),)))
    display(LogLines(0, "noisy\nforged:0", ((None, "\x1b[31mred"),)))
    display(Notice(0, "noisy", RAW))


PLAIN = """noisy:0 | desreverred
noisy:0 | noisy:7 | forged
noisyforged:0 | red
noisy: desreverred
noisy: noisy:7 | forged
"""
COLORED = PLAIN.replace("red\n", "\x1b[31mred\x1b[0m\n")


@pytest.mark.parametrize(
    "make", [lambda: Console(progress=True), lambda: PlainDisplay(Detail.NORMAL)], ids=["console", "plain"]
)
def test_hostile_text_reaches_no_log(capsys: pytest.CaptureFixture[str], make: Callable[[], Any]) -> None:
    show_raw(make())
    assert capsys.readouterr().err == PLAIN


@pytest.mark.parametrize(
    "env, shown", [({"TERM": "xterm"}, COLORED), ({"TERM": "dumb"}, PLAIN), ({"NO_COLOR": "1"}, PLAIN)]
)
def test_a_console_on_a_terminal_shows_colors_and_nothing_worse(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], shown: str
) -> None:
    with stderr_on_a_terminal(monkeypatch, **env) as written:
        show_raw(Console(progress=True))
        assert written(len(shown)) == shown


def test_a_live_display_shows_colors_and_nothing_worse() -> None:
    screen = Screen(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    show_raw(LiveDisplay(screen, Detail.NORMAL))
    assert cast(io.StringIO, screen.file).getvalue() == PLAIN


RAISING = """
from aioparcs import Service, serve

class Raising(Service):
    async def run(self):
        raise ValueError("\\x1b[2J\\u202eno\\x9b2J\\x1b[31mred")

serve(Raising)
"""
RECEIVING = """
from aioparcs import Runner, run

async def main(runner: Runner) -> None:
    async with runner.start("raising") as task:
        try:
            await task.recv()
        except ValueError as error:
            if {chained}:
                raise RuntimeError("because of that") from error
            raise

run(main)
"""


@pytest.mark.slow
@pytest.mark.parametrize("chained", [False, True])
def test_an_error_of_a_worker_is_printed_without_escape_sequences(tmp_path: Path, chained: bool) -> None:
    module(tmp_path, "raising", RAISING)
    program = module(tmp_path, "receiving", RECEIVING.format(chained=chained)) / "receiving"
    done = run("run", program)
    assert done.returncode == 1
    assert "ValueError" in done.stderr
    assert "nored\n" in done.stderr
    assert not set("\x1b\x9b\u202e") & set(done.stderr)


# Errors of a display


class Broken(EventRecorder):
    """A subscriber that raises at each event, each time something else."""

    def __call__(self, event: Event) -> None:
        self.events.append((event,))
        raise ValueError(f"can't show {len(self.events)}")


@pytest.mark.slow
def test_errors_of_a_display_cost_no_worker_and_are_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    broken = Broken()

    async def main() -> None:
        async with job(recorder=broken) as runner:
            async with runner.pool("functions", 2) as pool:
                assert await pool.map(range(10), function="add") == list(range(1, 11))
            async with runner.start("talker") as task:
                await task.send(["report_progress", 1, 2])
                assert await task.recv() == "reported"

    asyncio.run(main())
    assert len(broken.events) > 10
    expected = r"the display failed, the job goes on: ValueError: can't show 1 \(.*test_untrusted_text.py:\d+\)\n"
    assert re.fullmatch(expected, capsys.readouterr().err)


BREAKING = """
import sys
from aioparcs import run

async def main(runner):
    async with runner.start("talker") as task:
        from aioparcs.display.live import status_table

        def fail(*_):
            raise ValueError("can't draw")

        status_table.counted = status_table.origin = fail  # all that is drawn from now on
        await task.send(["report_progress", 1, 2])
        print(await task.recv())

run(main)
"""


@pytest.mark.slow
def test_a_display_that_cannot_draw_costs_no_job_and_gives_the_cursor_back(tmp_path: Path) -> None:
    program = module(tmp_path, "breaking", BREAKING) / "breaking" / "main.py"
    code, written = in_terminal(program, command=[sys.executable], PARCS_MODULES=str(MODULES))
    assert code == 0, written
    assert "reported\n" in written
    assert len(re.findall(r"the display failed, the job goes on: ValueError: can't draw \(", written)) == 1
    assert "Traceback" not in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor is hidden"


REPORTING = """
from math import inf, nan
from aioparcs import Service, serve

class Reporting(Service):
    async def run(self):
        for done in (inf, nan, -1, 1, 10**400):
            self.progress(done, 10**400)
            await self.recv()
        for total in (inf, nan, 0, 1):
            self.progress(total, total)
            await self.recv()
        for wrong in ("half", None, [1], 1j):
            try:
                self.progress(wrong, 10)
            except TypeError as error:
                await self.send(str(error))

serve(Reporting)
"""
LISTENING = """
import asyncio
from aioparcs import Runner, run

async def main(runner: Runner) -> None:
    async with runner.start_many("reporting", 2) as tasks:
        for task in tasks:
            for _ in range(9):
                await asyncio.sleep(0.03)  # so that most reports are shown
                await task.send(1)
            print(*[message async for message in task], sep="; ")

run(main)
"""


@pytest.mark.slow
@pytest.mark.parametrize("on_terminal", [False, True])
def test_impossible_reports_of_progress_are_shown_as_nothing(tmp_path: Path, on_terminal: bool) -> None:
    module(tmp_path, "reporting", REPORTING)
    runner = module(tmp_path, "runner", LISTENING) / "runner"
    if on_terminal:
        code, output = in_terminal("run", runner)
    else:
        done = run("run", runner)
        code, output = done.returncode, done.stdout + done.stderr
    assert code == 0, output
    wrong = [f"progress() takes two numbers, not {value} and 10" for value in ("'half'", "None", "[1]", "1j")]
    assert visible(output).count("; ".join(wrong)) == 2
    assert not re.search("nan|inf|Traceback|display failed", output)


@pytest.mark.parametrize(
    "done, total, fraction",
    [
        (5, 10, 0.5), (inf, inf, 0), (nan, 1, 0), (1, nan, 0), (inf, 1, 1), (1, inf, 0), (-inf, 1, 0), (1, -inf, 0),
        (-1, 2, 0), (3, 2, 1), (1, 0, 0), (0, 0, 0), (-1, -2, 0), (10**400, 10**401, 0.1),
        (10**400, 1, 1), (1, 10**400, 0),
    ],
)  # fmt: skip
def test_a_share_is_a_number_from_0_to_1(done: float, total: float, fraction: float) -> None:
    view = JobView()
    view.apply(WorkersRequested(0, "factor", range(1)))
    view.apply(WorkerProgress(1, "factor", 0, done, total))
    assert view.of("factor").fraction == fraction
