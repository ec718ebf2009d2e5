"""Summaries of journals, for people: a file is only read, also while a run writes it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from aioparcs.errors import JournalError
from aioparcs.journal.records import FunctionRecord, ResultHead
from aioparcs.journal.scan import HEADER, check_header, scan
from aioparcs.transport import os_reason

__all__ = ["FunctionSummary", "JournalSummary", "summarize"]


@dataclass
class FunctionSummary:
    """
    The results of one version of a function.

    Attributes:
        name: what it is called, ``module:name``.
        version: its version.
        results: how many there are.
        size: the bytes that they take in the file.
        first: when the first of them was written, in seconds since the epoch; None if there is none.
        last: when the last of them was written.
    """

    name: str
    version: bytes
    results: int = 0
    size: int = 0
    first: float | None = None
    last: float | None = None


@dataclass
class JournalSummary:
    """
    What a journal holds.

    Attributes:
        path: the file's name.
        size: its size in bytes.
        unfinished: how many of them are a last record that isn't whole.
        functions: by their numbers.
    """

    path: str
    size: int
    unfinished: int = 0
    functions: list[FunctionSummary] = field(default_factory=list)


def summarize(path: str) -> JournalSummary:
    """
    Return what a journal holds.

    Raises:
        JournalError: it can't be read, is no journal, or is damaged.
    """
    try:
        with open(path, "rb") as file:
            summary = JournalSummary(path, os.fstat(file.fileno()).st_size)
            end = len(HEADER) if check_header(path, file.read(len(HEADER))) else 0
            if end:
                for found in scan(path, file, summary.size):
                    end = found.end
                    _count(summary.functions, found.record, found.end - found.begin)
    except OSError as error:
        raise JournalError(path, f"can't be read: {os_reason(error)}") from error
    summary.unfinished = summary.size - end
    return summary


def _count(functions: list[FunctionSummary], record: FunctionRecord | ResultHead, size: int) -> None:
    if isinstance(record, FunctionRecord):
        functions.append(FunctionSummary(record.name, record.version))
        return
    one = functions[record.function]
    one.results += 1
    one.size += size
    one.first = record.time if one.first is None else min(one.first, record.time)
    one.last = record.time if one.last is None else max(one.last, record.time)
