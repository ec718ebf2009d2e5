"""
The folder with the histories of programs: recordings that are kept for a while, a bounded number of bounded ones.

A history is locked as long as its program has it open, so that others can see which programs run. It appears in the
folder with its lock and its first line.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, TextIO
from weakref import WeakSet

from aioparcs.errors import SettingError
from aioparcs.events import EventBus
from aioparcs.recording.recorder import Recorder, begin, program_name
from aioparcs.transport import os_reason

__all__ = [
    "SUFFIX",
    "histories",
    "is_locked",
    "is_running",
    "keep_history",
    "open_history",
    "open_regular",
    "prune",
    "socket_of",
    "store_folder",
]

SUFFIX = ".jsonl"
_FILES, _BYTES = 50, 256 << 20  # that a folder may have, without those of programs that run
_LARGEST = 64 << 20  # bytes of one history, after which it takes no more calls and lines
_UNFINISHED = 60.0  # seconds after which a file that never got its name is removed
_OTHERS = re.compile(r"[^\w.-]+", re.ASCII)  # characters that a name of a file does without
_LOCAL: Mapping[str, str] = MappingProxyType({"engine": "local"})
_LONGEST = 40  # characters of a program's name in that of its history
_locked: WeakSet[TextIO] = WeakSet()  # the histories of this process


def store_folder() -> Path:
    """Return the folder of the user's histories: ``aioparcs/jobs`` in ``$XDG_STATE_HOME``, or in ``~/.local/state``."""
    home = os.environ.get("XDG_STATE_HOME") or ""
    state = Path(home) if os.path.isabs(home) else Path.home() / ".local" / "state"
    return state / "aioparcs" / "jobs"


def histories(folder: Path | None = None) -> list[Path]:
    """Return the files of a folder's histories, of the user's one by default."""
    try:
        with os.scandir(folder or store_folder()) as entries:
            return [Path(entry.path) for entry in entries if entry.name.endswith(SUFFIX) and entry.name[0] != "."]
    except OSError:  # there is none
        return []


def socket_of(history: Path) -> Path:
    """Return the control socket of the job with a history; there is one only while the job runs here."""
    return history.with_suffix(".sock")


def is_running(path: Path) -> bool:
    """Return whether the program that writes a history still runs, on this machine."""
    try:
        with open_regular(path) as file:
            return is_locked(file)
    except OSError:
        return False


def is_locked(file: BinaryIO) -> bool:
    """Return whether the program that writes a history still runs, also if the history was removed."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def open_regular(path: Path) -> BinaryIO:
    """
    Open a history to read it.

    Raises:
        OSError: it can't be opened, or is no regular file: opening a pipe would wait for its writer.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file")
    return open(descriptor, "rb")


def open_history(program: str) -> tuple[TextIO, Path]:
    """
    Create the history of a program, and remove old ones that are too many.

    Args:
        program: the program's name.

    Returns:
        The file, locked until it is closed, with a hidden name; and the path that it gets with its first line.

    Raises:
        OSError: it can't be created or locked.
    """
    folder = _create_folder()
    prune(folder)
    path = folder / f"{_plain(program)}-{os.urandom(3).hex()}{SUFFIX}"
    descriptor = os.open(_hidden(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    file = open(descriptor, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115  # the recorder closes it
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        _hidden(path).unlink(missing_ok=True)
        raise
    _locked.add(file)
    return file, path


def _create_folder() -> Path:
    """
    Return the folder, which is created if it isn't there: in a home that is.

    Raises:
        OSError: there is no home, the folder can't be created, or other users may write into it.
    """
    folder = store_folder()
    if not os.path.isabs(os.environ.get("XDG_STATE_HOME") or ""):
        home = Path.home()
        if not (home.is_absolute() and home.is_dir() and home != Path("/")):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(home))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(errno.EPERM, "other users may write into it", str(folder))
    return folder


def prune(folder: Path, files: int = _FILES, size: int = _BYTES) -> None:
    """
    Remove the histories of programs that have ended, the oldest ones first, until there is room for another one.

    Args:
        folder: the folder.
        files: how many it may have, without those of programs that run.
        size: how many bytes these may have.
    """
    _remove_unfinished(folder)
    kept = total = 0
    for _, length, path in sorted(_measured(folder), reverse=True):
        if is_running(path):
            continue
        kept, total = kept + 1, total + length
        if kept >= files or total > size:
            path.unlink(missing_ok=True)
    _remove_sockets(folder)


@contextmanager
def keep_history(
    events: EventBus, program: str = "", about: Mapping[str, str] = _LOCAL, *, calls: bool = False
) -> Iterator[None]:
    """
    Write the history of a program while the block runs; without one if the folder can't be written.

    Args:
        events: the bus of the program, which gets the file's path as its `history`.
        program: the program's name; by default that of its file.
        about: what else its beginning says, by name; ``engine`` is local or swarm.
        calls: whether it has the calls of pools.

    Raises:
        SettingError: the folder can't be written, and ``calls`` are wanted.
    """
    program = program or program_name()
    try:
        file, path = open_history(program)
    except (OSError, RuntimeError) as error:  # a RuntimeError says that there is no home
        if calls:
            reason = os_reason(error) if isinstance(error, OSError) else str(error)
            raise SettingError(f"the history of the job can't be written in $XDG_STATE_HOME: {reason}") from None
        yield
        return
    recorder = Recorder(file, path, _LARGEST, is_history=True)
    recorder(begin(program, about, calls=calls))
    recorder.flush()
    os.rename(_hidden(path), path)
    events.history = path
    events.subscribe(recorder, calls=calls)
    try:
        yield
    finally:
        recorder.close()


def _plain(program: str) -> str:
    """Return a program's name for that of a file: the folder of a ``main.py``, or the file without its end."""
    name = program.removesuffix("/main.py").removesuffix(".py").removesuffix(".ipynb").rpartition("/")[2]
    return _OTHERS.sub("_", name).strip("._-")[:_LONGEST] or "program"


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}")


def _measured(folder: Path) -> Iterator[tuple[float, int, Path]]:
    for path in histories(folder):
        with suppress(OSError):  # another program has removed it
            status = path.stat()
            yield status.st_mtime, status.st_size, path


def _remove_unfinished(folder: Path) -> None:
    """Remove the files of programs that were killed while they created them."""
    for path in folder.glob(f".*{SUFFIX}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _UNFINISHED and not is_running(path):
                path.unlink()


def _remove_sockets(folder: Path) -> None:
    """Remove the control sockets of programs that were killed: a history has its lock before it has a socket."""
    for path in folder.glob(str(socket_of(Path("*")))):
        if not is_running(path.with_suffix(SUFFIX)):
            path.unlink(missing_ok=True)


def _unlock() -> None:
    """Release the histories of the parent in a process that it has forked, which may live longer than it."""
    for file in list(_locked):
        if not file.closed:
            with suppress(OSError):
                null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
                os.dup2(null, file.fileno(), inheritable=False)  # the number stays taken until the file is closed
                os.close(null)
    _locked.clear()


os.register_at_fork(after_in_child=_unlock)
