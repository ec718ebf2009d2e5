"""
The file in which a user's server says where it is, for programs of the same user that want their job shown.

It is locked while the server runs. A server that follows another one within a day has its token, so that pages go on:
the file's time is that of the end of the last one.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from aioparcs.recording.store import is_running, store_folder
from aioparcs.transport import os_reason

__all__ = ["announced", "last_token", "running_server"]

_DAY = 86_400.0  # seconds for which a token is good for the next server
_PATIENCE, _PAUSE = 0.1, 0.01  # seconds: others lock the file for a moment to see whether a server runs


def running_server() -> str | None:
    """Return the address of this user's server with its token, None if none runs."""
    path = _path()
    return _read(path).get("address") if is_running(path) else None


def last_token() -> str | None:
    """Return the token of this user's last server, None if that was long ago."""
    try:
        is_old = time.time() - _path().stat().st_mtime > _DAY
    except OSError:
        return None
    return None if is_old else _read(_path()).get("token")


@contextmanager
def announced(address: str, token: str) -> Iterator[str | None]:
    """Announce a server while the block runs; provide why it can't be, None if it is."""
    path = _path()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = _open(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        yield _unwritable(path, error)
        return
    with open(descriptor, "r+b", buffering=0) as file:  # closing it writes nothing more
        if reason := _lock(file):
            yield reason
            return
        data = json.dumps({"address": address, "token": token}).encode()
        try:
            file.truncate()
            file.write(data)
        except OSError as error:
            yield _unwritable(path, error)
            return
        try:
            yield None
        finally:
            with suppress(OSError):
                os.utime(file.fileno())


def _unwritable(path: Path, error: OSError) -> str:
    return f"{path} can't be written: {os_reason(error)}"


def _lock(file: FileIO) -> str:
    """Lock a file, and return ""; or return why it can't be locked."""
    last = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return ""
        except BlockingIOError:
            if time.monotonic() >= last:
                return "another one is"
        except OSError as error:
            return os_reason(error)
        time.sleep(_PAUSE)


def _path() -> Path:
    return store_folder().parent / "ui.json"


def _open(path: Path, flags: int) -> int:
    """
    Open a file of this user's own, and no link to another one: it says which server gets a job, or a token.

    Raises:
        OSError: it is none, or can't be opened.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        os.close(descriptor)
        raise PermissionError(errno.EPERM, "it is no file of this user's own")
    return descriptor


def _read(path: Path) -> dict[str, str]:
    try:
        with open(_open(path, os.O_RDONLY), encoding="utf-8") as file:
            values = json.load(file)
    except (OSError, ValueError):
        return {}
    return {key: text for key, text in values.items() if isinstance(text, str)} if isinstance(values, dict) else {}
