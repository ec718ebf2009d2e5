"""The order in which the deadlines at the end of workers, launchers, containers and jobs must stand."""

import pytest

from aioparcs.deadlines import (
    CALL_CLEANUP,
    CONTAINER_STOP,
    CONTAINERS_STOP,
    CONTROL_ANSWER,
    CONTROL_CLOSE,
    ENGINE_EXPLANATION,
    EXIT_FUNCTIONS,
    KILL_REPORT,
    LAST_LINES,
    LAST_REPORT,
    LAUNCHER_EXIT,
    LAUNCHER_EXPLANATION,
    LEADER_RETURN,
    POOL_LOSS,
    RUNNER_END,
    RUNNER_STOP,
    SECOND_SIGNAL,
    STACK_ANSWER,
    STACK_REPORT,
    TEARDOWN,
    WORKER_CLEANUP,
    WORKER_THREADS,
)
from aioparcs.settings import Settings

ORDER = {
    "a worker cleans up and its end is reported before Docker kills its container": (
        WORKER_CLEANUP + LAST_LINES,
        CONTAINER_STOP,
    ),
    "the fork server waits for the agent's last report, lines included": (LAST_LINES, LAST_REPORT),
    "what a kill waits for includes the worker's time to clean up": (WORKER_CLEANUP + LAST_LINES, KILL_REPORT),
    "a local launcher's exit functions run before it is killed": (EXIT_FUNCTIONS, LAUNCHER_EXIT),
    "a worker's explanation may be that of its launcher's engine": (ENGINE_EXPLANATION, LAUNCHER_EXPLANATION),
    "a kill waits longer than an explanation": (LAUNCHER_EXPLANATION, KILL_REPORT),
    "a pool learns of a loss later than of an end that is explained or killed": (KILL_REPORT, POOL_LOSS),
    "a submitted runner that is stopped leaves the containers their time": (CONTAINER_STOP, RUNNER_STOP),
    "a submitted runner that is stopped may wait for a leader that comes back": (LEADER_RETURN, RUNNER_STOP),
    "who removes a job waits longer than Docker does for its runner": (RUNNER_STOP, RUNNER_END),
    "containers are waited for longer than Docker takes to kill them": (CONTAINER_STOP, CONTAINERS_STOP),
    "a worker has its clean end before the one who waits for it kills it": (
        CALL_CLEANUP + TEARDOWN + WORKER_THREADS + EXIT_FUNCTIONS,
        Settings().close_timeout,
    ),
    "a launcher waits for a worker's stacks twice before its runner gives up": (2 * STACK_ANSWER, STACK_REPORT),
    "a client waits for a stack longer than its runner does": (STACK_REPORT, CONTROL_ANSWER),
    "a second signal leaves time to close control connections": (CONTROL_CLOSE, SECOND_SIGNAL),
}


@pytest.mark.parametrize("reason", ORDER)
def test_a_deadline_is_shorter_than_that_of_its_waiter(reason: str) -> None:
    ends, waits = ORDER[reason]
    assert ends < waits
