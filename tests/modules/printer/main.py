"""Prints what it is told to, in ways that programs print."""

import logging
import os
import sys
from pathlib import Path

from aioparcs import serve


def both(count: int) -> None:
    for i in range(count):
        print(f"out {i}")
        print(f"err {i}", file=sys.stderr)


def log(text: str) -> None:
    logging.getLogger("printer").info(text)
    logging.getLogger("printer").debug("not shown")


def write(*chunks: bytes) -> None:
    for chunk in chunks:
        os.write(1, chunk)


def repeat(letter: str, length: int, count: int) -> None:
    for i in range(count):
        print(f"{i} " + letter * length)


def many(count: int, done: str) -> None:
    for i in range(count):
        print(i)
    Path(done).touch()


def write_and_die(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
    os._exit(9)


serve(both, log, write, repeat, many, write_and_die)
