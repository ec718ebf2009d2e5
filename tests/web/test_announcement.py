"""The file in which a user's server says where it is: how long its token is good for, and who gets it first."""

import fcntl
import os
import resource
import time
from pathlib import Path
from threading import Timer

import pytest

from aioparcs.web.announcement import announced, last_token, running_server

pytestmark = pytest.mark.one_loop
DAYS = 86_400.0


@pytest.fixture
def path(_state: Path) -> Path:
    return _state / "aioparcs" / "ui.json"


def test_a_token_is_good_for_a_day_after_its_server_has_ended(path: Path) -> None:
    with announced("http://127.0.0.1:1/#token=t", "t") as reason:
        assert reason is None
        assert running_server() == "http://127.0.0.1:1/#token=t"
        began = time.time() - 3 * DAYS
        os.utime(path, (began, began))
    assert running_server() is None
    assert last_token() == "t"
    ended = time.time() - 1.1 * DAYS
    os.utime(path, (ended, ended))
    assert last_token() is None


def test_a_server_is_announced_though_a_program_looks_for_one_just_then(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        timer = Timer(0.03, fcntl.flock, (file, fcntl.LOCK_UN))
        timer.start()
        with announced("http://127.0.0.1:1/#token=t", "t") as reason:
            assert (reason, running_server()) == (None, "http://127.0.0.1:1/#token=t")
        timer.join()


def test_a_server_on_a_full_disk_knows_why_it_is_not_announced(path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with announced("http://127.0.0.1:1/#token=t", "t") as reason:
            assert (reason, running_server()) == (f"{path} can't be written: File too large", None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_only_a_file_of_this_user_is_believed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir(parents=True)
    other = tmp_path / "other.json"
    other.write_text('{"address": "http://127.0.0.1:1/#token=t", "token": "t"}')
    path.symlink_to(other)
    with other.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert (running_server(), last_token()) == (None, None)
    with announced("http://127.0.0.1:2/#token=u", "u") as reason:
        assert reason
        assert "can't be written" in reason
    assert "token=t" in other.read_text()
    path.unlink()
    os.mkfifo(path)
    assert (running_server(), last_token()) == (None, None), "it doesn't wait for a writer"
    path.unlink()
    if os.geteuid() == 0:
        path.write_text(other.read_text())
        os.chown(path, 65534, 65534)
        assert last_token() is None
        path.unlink()
    path.write_text(other.read_text())
    assert last_token() == "t"


def test_a_server_that_cannot_be_announced_knows_why(path: Path) -> None:
    with announced("first", "1"), announced("second", "2") as reason:
        assert (reason, running_server()) == ("another one is", "first")
    path.unlink()
    path.mkdir()
    with announced("third", "3") as reason:
        assert reason == f"{path} can't be written: Is a directory"
