"""The file of a journal: opened by one run at a time, read once, and appended to."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import time
from typing import Any, NamedTuple

from aioparcs.errors import DecodeError, JournalError, describe
from aioparcs.journal.records import (
    HEAD_SIZE,
    FunctionRecord,
    decode_value,
    encode_function,
    encode_result,
    read_head,
    read_payload,
)
from aioparcs.journal.scan import HEADER, check_header, scan
from aioparcs.transport import os_reason

__all__ = ["Entry", "JournalFile", "Records"]

# Bytes that are read at first for a result: most have no more.
_FIRST = 4096
# Pieces up to this size are written together.
_SMALL = 1 << 16


class Entry(NamedTuple):
    """
    A result to write.

    Attributes:
        function: the function's number.
        key: the hash of the arguments.
        value: what it has returned.
        item: the call, whose text is for messages.
    """

    function: int
    key: bytes
    value: Any
    item: object = ""


class Records(NamedTuple):
    """
    Results of one function to write, encoded already.

    Attributes:
        function: the function's number.
        keys: the hash of the arguments of each.
        records: those of `encode_small_results`.
    """

    function: int
    keys: list[bytes]
    records: list[bytes]


class JournalFile:
    """
    A journal that is open, and locked: no other run can open it.

    All methods may wait for the disk, and are for one thread. Another one may look at what `places` returns.

    Args:
        path: the file's name; the file is created if it is missing.

    Raises:
        JournalError: it can't be opened, another run has it open, it is no journal, or it is damaged. The file is left
            as it is.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._numbers: dict[tuple[str, bytes], int] = {}
        self._results: list[dict[bytes, int]] = []  # by function: where the result of each key begins
        with _reported(path, "opened"):
            self._fd = _open_locked(path)
            try:
                self._end = self._load()
            except BaseException:
                os.close(self._fd)
                raise

    def add_function(self, name: str, version: bytes) -> int:
        """Return the number of a function, which is written if it is new."""
        number = self._numbers.get((name, version))
        if number is None:
            number = len(self._results)
            self._write(encode_function(FunctionRecord(number, name, version)))
            self._numbers[name, version] = number
            self._results.append({})
        return number

    def places(self, function: int) -> Mapping[bytes, int]:
        """Return where the result of each key of a function is, now and from now on."""
        return self._results[function]

    def read(self, begin: int) -> Any:
        """
        Return a result.

        Raises:
            DecodeError: its value can't be decoded in this program.
            JournalError: it can't be read, or was damaged meanwhile.
        """
        with _reported(self.path, "read"):
            data = os.pread(self._fd, _FIRST, begin)
            head = read_head(data[:HEAD_SIZE].ljust(HEAD_SIZE))
            while head and len(data) < HEAD_SIZE + head.size:
                more = os.pread(self._fd, HEAD_SIZE + head.size - len(data), begin + len(data))
                if not more:
                    break
                data += more
        payload = data[HEAD_SIZE : HEAD_SIZE + head.size] if head else b""
        record = read_payload(head, payload) if head else None
        if record is None or isinstance(record, FunctionRecord):
            raise JournalError(self.path, f"the record at byte {begin} has changed since it was opened")
        try:
            return decode_value(payload[record.value_at :])
        except Exception as error:  # also of a type's own code, and MemoryError
            if isinstance(error, DecodeError):
                raise
            raise JournalError(self.path, f"the result at byte {begin} can't be read: {describe(error)}") from error

    def append(self, entries: Sequence[Entry], encoded: Sequence[Records] = ()) -> None:
        """
        Write results: all of them, or none. When it returns they survive the end of this process.

        Raises:
            JournalError: they can't be written, or one can't be encoded.
        """
        now, begin = time(), self._end
        pieces: list[Any] = []
        written: list[tuple[int, bytes, int]] = []
        for function, key, value, item in entries:
            try:
                record = encode_result(function, key, now, value)
            except Exception as error:  # also of a type's own code, and MemoryError
                reason = f"the result of {item} can't be written: {describe(error)}"
                raise JournalError(self.path, reason) from error
            pieces += record
            written.append((function, key, begin))
            begin += sum(map(len, record))
        for _, _, records in encoded:
            pieces += records
        self._write(pieces)
        for function, key, place in written:
            self._results[function].setdefault(key, place)
        for function, keys, records in encoded:
            keep = self._results[function].setdefault
            for key, small in zip(keys, records, strict=True):
                keep(key, begin)
                begin += len(small)

    def sync(self) -> None:
        """
        Wait until the disk has all that was written: then it survives a crash of the machine, too.

        Raises:
            JournalError: the disk has failed, or the file was removed.
        """
        with _reported(self.path, "written"):
            os.fdatasync(self._fd)
            if not os.fstat(self._fd).st_nlink:
                raise JournalError(self.path, "the file was removed while it was written; its results are lost")

    def close(self) -> None:
        """Close the file; another run may open it then."""
        os.close(self._fd)

    # Inside

    def _load(self) -> int:
        """Read all records, cut off a last one that isn't whole, and return where the next one begins."""
        size = os.fstat(self._fd).st_size
        with open(self._fd, "rb", closefd=False) as file:
            if not check_header(self.path, file.read(len(HEADER))):
                return self._begin()
            end = len(HEADER)
            for found in scan(self.path, file, size):
                end, record = found.end, found.record
                if isinstance(record, FunctionRecord):
                    self._numbers[record.name, record.version] = record.number
                    self._results.append({})
                else:
                    self._results[record.function].setdefault(record.key, found.begin)
        if end < size:
            os.ftruncate(self._fd, end)
        return end

    def _begin(self) -> int:
        os.ftruncate(self._fd, 0)
        self._end = 0
        self._write([HEADER])
        folder = os.open(os.path.dirname(os.path.abspath(self.path)), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # so that the file itself survives, too
        finally:
            os.close(folder)
        return self._end

    def _write(self, pieces: list[Any]) -> None:
        """Append pieces of bytes: all of them, or none."""
        written = 0
        try:
            for chunk in _joined(pieces):
                view = memoryview(chunk)
                while view:
                    count = os.write(self._fd, view)
                    written += count
                    view = view[count:]
        except OSError as error:
            with _reported(self.path, "written"):
                os.ftruncate(self._fd, self._end)
            advice = "it keeps the results that it has, so run again when there is room"
            reason = f"can't be written: {os_reason(error)}; {advice}"
            raise JournalError(self.path, reason) from error
        self._end += written


@contextmanager
def _reported(path: str, what: str) -> Iterator[None]:
    """Raise errors of the operating system in the block as JournalErrors."""
    try:
        yield
    except OSError as error:
        raise JournalError(path, f"can't be {what}: {os_reason(error)}") from error


def _open_locked(path: str) -> int:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise JournalError(path, "it must be a file on a disk")
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same(fd, path):
                return fd
            os.close(fd)  # it was removed, or replaced, before it was locked
        except BlockingIOError:
            holder = _holder(fd)
            os.close(fd)
            who = "another pool of this program" if holder == os.getpid() else f"another run{_process(holder)}"
            raise JournalError(path, f"{who} is writing it; wait for its end, or name another file") from None
        except BaseException:
            os.close(fd)
            raise


def _holder(fd: int) -> int | None:
    """Return the process that has locked a file, None if the kernel doesn't say."""
    info = os.fstat(fd)
    place = f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x}:{info.st_ino}"
    try:
        with open("/proc/locks") as file:
            locks = [line.split() for line in file]
        return next((int(lock[4]) for lock in locks if lock[1] == "FLOCK" and lock[5] == place), None)
    except (OSError, ValueError, IndexError):
        return None


def _process(pid: int | None) -> str:
    """Return how a sentence names a process of which only the number is known, if that is one."""
    return f", process {pid}," if pid is not None and pid > 0 else ""


def _is_same(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _joined(pieces: list[Any]) -> Iterator[Any]:
    """Yield pieces, the small ones joined: a system call for each would take longer."""
    if max(map(len, pieces), default=0) <= _SMALL:  # as most are
        yield b"".join(pieces)
        return
    run: list[Any] = []
    for piece in pieces:
        if len(piece) <= _SMALL:
            run.append(piece)
            continue
        yield b"".join(run)
        run = []
        yield piece
    yield b"".join(run)
