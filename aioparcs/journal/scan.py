"""Reading a journal from its beginning to its end."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from aioparcs.errors import JournalError
from aioparcs.journal.records import (
    FORMAT,
    HEAD_SIZE,
    MAGIC,
    FunctionRecord,
    ResultHead,
    read_head,
    read_payload,
)

__all__ = ["HEADER", "Found", "check_header", "scan"]

HEADER = MAGIC + b"%d\n" % FORMAT
_CHUNK = 1 << 20


class Found(NamedTuple):
    """A record, and where in the file it begins and ends."""

    begin: int
    end: int
    record: FunctionRecord | ResultHead


def check_header(path: str, begin: bytes) -> bool:
    """
    Check the first bytes of a file, as many as `HEADER` has; return False if there is nothing but a part of it.

    Raises:
        JournalError: the file is no journal, or one of another format.
    """
    if begin == HEADER:
        return True
    if len(begin) < len(HEADER) and HEADER.startswith(begin):  # its first run was killed at once
        return False
    if not begin.startswith(MAGIC):
        raise JournalError(path, "this file is not a journal of aioparcs; name another file, or move this one away")
    number = begin[len(MAGIC) :].split(b"\n")[0].decode(errors="replace")
    raise JournalError(path, f"its format is {number}, and this aioparcs knows format {FORMAT} only")


def scan(path: str, file: BinaryIO, size: int) -> Iterator[Found]:
    """
    Yield the records of a journal, whose header has been read.

    It ends at the end of the file, or before a last record that isn't whole: its run was killed when it wrote that.

    Args:
        path: the file's name, for errors.
        file: the file, at the end of the header.
        size: its size in bytes.

    Raises:
        JournalError: it is damaged.
    """
    begin, functions, results = len(HEADER), 0, 0
    while size - begin >= HEAD_SIZE:
        head = read_head(file.read(HEAD_SIZE))
        if head is None:
            if _is_blank(file, begin):
                return
            raise _damaged(path, begin, results)
        end = begin + HEAD_SIZE + head.size
        if end > size:
            return
        record = read_payload(head, file.read(head.size))
        is_function = isinstance(record, FunctionRecord)
        if record is None or not _fits(record, functions):
            if record is None and end == size:
                return
            raise _damaged(path, begin, results)
        yield Found(begin, end, record)
        begin = end
        functions += is_function
        results += not is_function


def _fits(record: FunctionRecord | ResultHead, functions: int) -> bool:
    """Return True for the next function, and for a result of one of those before."""
    return record.number == functions if isinstance(record, FunctionRecord) else record.function < functions


def _is_blank(file: BinaryIO, begin: int) -> bool:
    """Return True for nothing but zeros: the machine has crashed before the disk had more than the file's size."""
    file.seek(begin)
    return not any(chunk.strip(b"\0") for chunk in iter(lambda: file.read(_CHUNK), b""))


def _damaged(path: str, begin: int, results: int) -> JournalError:
    advice = f"to go on with those, cut the rest off: truncate -s {begin} {shlex.quote(path)}"
    return JournalError(path, f"it is damaged at byte {begin}, after {results} results that are whole; {advice}")
