"""The memory of two processes that send large messages to each other over TCP."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from aioparcs.settings import MIB
from tests.support.memory_peer import LARGE, memory

pytestmark = pytest.mark.slow

Process = subprocess.Popen[str]

_LONGEST = 90.0  # seconds


@contextmanager
def peers(receiver: str, sender: str) -> Iterator[tuple[Process, Process]]:
    """Start both ends, connected: the receiving one listens."""
    with spawned(receiver) as receiving:
        assert receiving.stdout
        with spawned(sender, receiving.stdout.readline().strip()) as sending:
            yield receiving, sending


@contextmanager
def spawned(*arguments: str) -> Iterator[Process]:
    command = [sys.executable, "-m", "tests.support.memory_peer", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def send_line(process: Process) -> None:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


def result(process: Process) -> dict[str, int]:
    assert process.stdout
    line = process.stdout.readline()
    assert process.wait(_LONGEST) == 0
    outcome: dict[str, int] = json.loads(line)
    return outcome


def until_it_stands_still(process: Process) -> None:
    """Wait until a process uses no processor time for a while."""
    watched, deadline = psutil.Process(process.pid), time.monotonic() + 20
    last = None
    while (now := watched.cpu_times()[:2]) != last:
        assert time.monotonic() < deadline, "it goes on and on"
        last = now
        time.sleep(0.4)


@pytest.mark.timeout(120)
def test_a_receiver_that_stops_reading_holds_both_within_bounds() -> None:
    with peers("recv_many", "send_many") as (receiving, sending):
        until_it_stands_still(sending)
        idle = {process: memory("VmRSS", process.pid) for process in (receiving, sending)}
        send_line(sending)
        until_it_stands_still(sending)
        for process in (receiving, sending):
            assert memory("VmHWM", process.pid) - idle[process] < 64 * MIB
        send_line(receiving)
        for process in (receiving, sending):
            outcome = result(process)
            assert outcome["peak"] - outcome["idle"] < 64 * MIB


@pytest.mark.parametrize("receiver", ["recv_array", "recv_into"])
def test_a_large_array_needs_its_own_memory_and_little_more(receiver: str) -> None:
    with peers(receiver, "send_array") as (receiving, sending):
        send_line(sending)
        for process in (receiving, sending):
            outcome = result(process)
            assert outcome["peak"] - outcome["idle"] <= LARGE + 16 * MIB
