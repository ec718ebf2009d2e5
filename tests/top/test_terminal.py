"""The command on a terminal, and where there is none."""

import fcntl
import os
import re
import signal
import struct
import sys
import termios
import time
from pathlib import Path

import pytest

from aioparcs.recording.store import store_folder
from tests.support.command import execute, run
from tests.support.dialogue import Dialogue, dialogue
from tests.support.recordings import recording, write_recording
from tests.support.top_jobs import job_there, running_job

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

WITHOUT_TEXTUAL = """
import sys
sys.modules["textual"] = None
from aioparcs.cli import main
main(["top"])
"""
LOADED = """
import sys
import aioparcs.cli.top
from aioparcs.cli import main
from aioparcs.top import snapshot
try:
    main(["top"])
finally:
    assert not [name for name in sys.modules if name.startswith("textual")]
"""


def ended() -> Path:
    store_folder().mkdir(parents=True)
    return write_recording(store_folder() / "render-1a2b3c.jsonl", recording(4, 20))


def state() -> str:
    return os.environ["XDG_STATE_HOME"]


def resize(terminal: Dialogue, columns: int, lines: int) -> None:
    fcntl.ioctl(terminal.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@pytest.mark.parametrize("term", ["xterm", "xterm-256color", "tmux-256color", "linux"])
async def test_a_running_job_is_seen_on_a_terminal(tmp_path: Path, term: str) -> None:
    with running_job(tmp_path):
        path = await job_there()
        with dialogue("-m", "aioparcs", "top", "primes", cwd=tmp_path, TERM=term, XDG_STATE_HOME=state()) as terminal:
            before = termios.tcgetattr(terminal.terminal)
            terminal.expect(path.stem)
            terminal.expect("2 of 2 up")
            resize(terminal, 80, 24)
            terminal.type("l")
            terminal.expect("working on")
            (tmp_path / "end").touch()
            terminal.expect("done")
            terminal.type("q")
            assert terminal.wait() == 0
            assert_clean(terminal, before)
            assert "title" not in terminal.text


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (0, 130)])
def test_signals_and_ctrl_c_leave_the_terminal_as_it_was(tmp_path: Path, number: int, code: int) -> None:
    ended()
    with dialogue("-m", "aioparcs", "top", cwd=tmp_path, XDG_STATE_HOME=state()) as terminal:
        before = termios.tcgetattr(terminal.terminal)
        terminal.expect("render-1a2b3c")
        if number:
            terminal.process.send_signal(number)
        else:
            terminal.type("\x03")
        assert terminal.wait() == code
        assert_clean(terminal, before)


def test_without_colours_none_are_written(tmp_path: Path) -> None:
    ended()
    with dialogue("-m", "aioparcs", "top", "render", cwd=tmp_path, NO_COLOR="1", XDG_STATE_HOME=state()) as terminal:
        terminal.expect("1 lost")
        terminal.type("q")
        assert terminal.wait() == 0
        codes = {code for found in re.findall(r"\x1b\[([\d;]*)m", terminal.written) for code in found.split(";")}
        assert codes <= {"", "0", "1", "2", "3", "4", "7", "22", "24", "27", "39", "49"}


def test_without_a_terminal_the_table_is_printed_once() -> None:
    done = run("top", XDG_STATE_HOME=state())
    assert (done.returncode, done.stdout.splitlines()[0][:8]) == (0, "no jobs ")
    ended()
    done = run("top", XDG_STATE_HOME=state())
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["JOB", "STATE"], ["render-1a2b3c", "done"]]
    done = run("top", "rend", XDG_STATE_HOME=state())
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"(?m)^ workers .*1 lost", done.stdout)
    assert len(re.findall(r"(?m)^ +\d (?:ended|lost)", done.stdout)) == 4
    assert "\x1b" not in done.stdout


def test_a_job_that_is_not_there_is_a_wrong_command_line() -> None:
    done = run("top", "render", XDG_STATE_HOME=state())
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, "error: there is no job 'render' on this machine")
    write_recording(ended().with_name("render-2b3c4d.jsonl"), recording(2, 5))
    done = run("top", "rend", XDG_STATE_HOME=state())
    assert done.returncode == 2
    assert "several jobs have names that begin with 'rend'; there are: render-1a2b3c, render-2b3c4d" in done.stderr
    for number in range(10):
        write_recording(store_folder() / f"other-{number}.jsonl", recording(1, 1))
    assert run("top", "none", XDG_STATE_HOME=state()).stderr.endswith(" other-7 and 4 more\n"), (
        "of as many as there may be"
    )
    assert run("top", "render-2", XDG_STATE_HOME=state()).returncode == 0


def test_the_name_of_a_program_is_its_last_run() -> None:
    last = write_recording(ended().with_name("render-0b3c4d.jsonl"), recording(2, 5))
    os.utime(last, (time.time() + 60,) * 2)
    assert run("top", "render", XDG_STATE_HOME=state()).stdout.startswith(" render-0b3c4d ")
    os.utime(last, (1, 1))
    assert run("top", "render", XDG_STATE_HOME=state()).stdout.startswith(" render-1a2b3c ")


@pytest.mark.fresh
def test_textual_is_loaded_on_a_terminal_only_and_missed_in_one_line(tmp_path: Path) -> None:
    done = execute([sys.executable, "-c", LOADED], XDG_STATE_HOME=state())
    assert (done.returncode, done.stderr) == (0, "")
    with dialogue("-c", WITHOUT_TEXTUAL, cwd=tmp_path, XDG_STATE_HOME=state()) as terminal:
        assert terminal.wait() == 1
        assert terminal.text == "error: aioparcs top needs textual: pip install 'aioparcs[top]'\n"


def assert_clean(terminal: Dialogue, before: list[object]) -> None:
    """Check that the normal screen, the cursor and the modes of the terminal are back."""
    for on, off in (("?1049h", "?1049l"), ("?25l", "?25h")):
        assert terminal.written.rfind(f"\x1b[{off}") > terminal.written.rfind(f"\x1b[{on}") >= 0
    assert termios.tcgetattr(terminal.terminal) == before
    assert "Traceback" not in terminal.text
