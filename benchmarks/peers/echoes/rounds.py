"""The message, and the rounds of the driving side."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.peers import control

_BLOCK = 65_521  # bytes that repeat: a prime, so that no shift by a power of two goes unnoticed


def message(size: int) -> bytes:
    """Return so many bytes, always the same."""
    block = random.Random(size).randbytes(min(size, _BLOCK))
    return (block * -(-size // len(block)))[:size]


def drive(mode: str, exchange: Callable[[bytes], Any]) -> None:
    """Run the rounds; ``exchange`` sends a message and returns the answer."""
    sent = message(int(mode))
    for count, check in control.rounds():
        start = time.perf_counter()
        for _ in range(count):
            answer = exchange(sent)
            control.expect(_is_same(answer, sent, check), "an answer differs")
        control.took(time.perf_counter() - start)


async def drive_async(mode: str, exchange: Callable[[bytes], Awaitable[Any]]) -> None:
    """Do the same with a coroutine function; the loop does nothing else between rounds."""
    sent = message(int(mode))
    for count, check in control.rounds():
        start = time.perf_counter()
        for _ in range(count):
            answer = await exchange(sent)
            control.expect(_is_same(answer, sent, check), "an answer differs")
        control.took(time.perf_counter() - start)


def _is_same(answer: Any, sent: bytes, check: bool) -> bool:
    if check:
        return bool(answer == sent)
    return len(answer) == len(sent) and answer[:8] == sent[:8] and answer[-8:] == sent[-8:]


def wait_for_end() -> None:
    """Wait until the harness ends this program."""
    sys.stdin.read()
