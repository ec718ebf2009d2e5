"""The checker of histories: what each of them must not show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from aioparcs import CallTimeout, RemoteError, StartError, WorkerLost
from tests.simulation.faults import CONNECTION_FAULTS
from tests.simulation.functions import result_of
from tests.simulation.history import History
from tests.simulation.loop import Host, VirtualLoop
from tests.simulation.network import Network
from tests.simulation.program import Program

__all__ = ["check", "left_of"]


def check(program: Program, history: History) -> Iterator[str]:
    """Yield what is wrong with the results of a program."""
    yield from program.problems
    has_limits = any("timeout" in pool.options for pool in program.pools)
    is_quiet = not history.faults and not program.has_deaths and not has_limits
    for what, error in history.failures:
        if is_quiet:
            yield f"{what} fails without a fault: {error!r}"
        if not isinstance(error, (WorkerLost, StartError, *[CallTimeout] * has_limits)):
            yield f"{what} fails with {error!r}"
    for number, item in program.items.items():
        plan, outcomes, begun = program.plans[number], history.outcomes[number], history.begun[number]
        if len(outcomes) > 1:
            yield f"item {number} has {len(outcomes)} outcomes: {outcomes}"
        if number in program.complete and not outcomes:
            yield f"item {number} has no outcome"
        if len(begun) > plan.most_runs:
            yield f"item {number} has begun in {begun}, with retries={plan.options['retries']}"
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                yield from _check_error(program, history, number, outcome, is_quiet=is_quiet)
            elif outcome != result_of(item):
                yield f"item {number} has the result {outcome!r}"
            elif not begun:
                yield f"item {number} has a result and has not begun"
    yield from _check_losses(program, history)


def _check_error(
    program: Program, history: History, number: int, error: BaseException, *, is_quiet: bool
) -> Iterator[str]:
    item, plan = program.items[number], program.plans[number]
    limit = plan.options.get("timeout")
    match error:
        case CallTimeout():
            if limit is None or (item.seconds < limit and not history.faults):
                yield f"item {number} takes {item.seconds} s, and fails with {error!r}"
        case RemoteError():
            if item.ending != "raise" or not isinstance(error, ValueError):
                yield f"item {number} fails with {error!r}"
        case WorkerLost():
            if is_quiet:
                yield f"item {number} fails without a fault: {error!r}"
            yield from _check_lost(history, number, error)
        case StartError():
            if is_quiet:
                yield f"the pool of item {number} fails without a fault: {error!r}"
        case _:
            yield f"item {number} fails with {error!r}"


def _check_lost(history: History, number: int, error: WorkerLost) -> Iterator[str]:
    """Check that an error says what has happened."""
    worker = int(error.worker.split()[0].rpartition(":")[2])  # "work:3 on node1"
    if worker not in history.deaths and not history.faults:
        yield f"item {number}: worker {worker} is well, and fails with {error!r}"
    if is_known(history, error) and worker in history.finished[number]:
        yield f"item {number} was finished by worker {worker}, and is lost with it: {error!r}"


def is_known(history: History, error: WorkerLost) -> bool:
    """Return whether a launcher has said which calls its worker had finished, and no connection has lost any."""
    has_status = error.signal is not None or error.exitcode is not None
    return has_status and not history.loses_unread and not history.faults.keys() & CONNECTION_FAULTS


def _check_losses(program: Program, history: History) -> Iterator[str]:
    """Check that a worker's death has cost no more calls than it may run at once: they are all that may have begun."""
    lost: defaultdict[str, list[int]] = defaultdict(list)
    for number, outcomes in history.outcomes.items():
        for error in outcomes:
            if isinstance(error, WorkerLost) and is_known(history, error):
                lost[error.worker].append(number)
    for worker, numbers in lost.items():
        most = program.plans[numbers[0]].options.get("concurrency", 1)
        if len(numbers) > most:
            yield f"{worker} runs {most} calls at once, and with it {len(numbers)} are lost: {numbers}"


def left_of(loop: VirtualLoop, network: Network, runner: Host) -> Iterator[str]:
    """Yield what a runner has left."""
    for task in runner.tasks.values():
        if not task.done():
            yield f"left: {task!r}"
    for timer in loop.timers_of(runner):
        yield f"left: {timer!r}"
    for connection in network.connections.values():
        for end in connection.ends:
            if end.host is runner and not end.is_gone:
                yield f"left: a connection with {end.peer.host.name}"
    for context in loop.errors:
        yield f"an error that was not handled: {describe(context)}"


def describe(context: dict[str, Any]) -> str:
    """Return what a loop's exception handler was called with, with its traceback."""
    import traceback

    error = context.get("exception")
    trace = "".join(traceback.format_exception(error)) if error else ""
    return f"{ {name: value for name, value in context.items() if name != 'exception'} }\n{trace}"
