"""The command `aioparcs report`: where it writes the page, and what it refuses."""

from pathlib import Path

import pytest

from tests.support.command import run
from tests.support.recordings import recording, write_recording

pytestmark = pytest.mark.slow


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_recording(tmp_path / "run.jsonl", recording(2, 20))


def test_the_page_is_beside_the_recording_or_where_it_should_be(file: Path) -> None:
    done = run("report", "run.jsonl", cwd=file.parent)
    assert (done.returncode, done.stdout, done.stderr) == (0, "run.html\n", "")
    page = (file.parent / "run.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "render/main.py" in page
    assert run("report", file, "-o", file.parent / "other.html").returncode == 0
    assert (file.parent / "other.html").read_text() == page
    assert run("report", file, "-o", "-").stdout == page


def test_what_cannot_be_read_or_written_is_one_line(file: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("something else\n")
    done = run("report", "other", cwd=tmp_path)
    message = "error: other is not a recording; aioparcs run --record FILE writes one\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)
    done = run("report", file, "-o", "nowhere/page.html", cwd=tmp_path)
    message = "error: nowhere/page.html can't be written: No such file or directory\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)
    done = run("report", file, "-o", file)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is the recording itself" in done.stderr
    assert run("report", "nothing", cwd=tmp_path).returncode == 2
