"""Deadlines at the end of workers, launchers, containers and jobs, in seconds. They depend on each other.

A process gets less time to end than its waiter has: the test of this module checks the order of the deadlines.
`aioparcs.settings` has the deadlines that users may choose.
"""

from __future__ import annotations

CONTROL_CLOSE = 0.5
"""For the peer of a control connection to read that it is closed."""

WORKER_CLEANUP = 1.0
"""From SIGTERM, which a worker may use to clean up, to SIGKILL."""

TEARDOWN = 5.0
"""For a worker's function ``teardown``, and the call that still runs before it, from the end of its channel."""

CALL_CLEANUP = 1.0
"""For a coroutine function to clean up when it is cancelled at its time limit; then its worker is killed. And for a
generator that is closed before its end; then its reader, its pool, or the end of its worker goes on without it."""

WORKER_THREADS = 1.0
"""For a worker's own threads to end after its program."""

TRACKER_CLEANUP = 1.0
"""For trackers of shared memory to clean up after their worker."""

LAST_LINES = 1.0
"""For a launcher's last lines to reach the runner when the job ends."""

LAST_REPORT = 1.5
"""For the launcher's agent to report to the runner that no worker is left, before its fork server ends."""

EXIT_FUNCTIONS = 2
"""For the exit functions of a worker and the closing of its files, and for those of a module's main.py when its
launcher ends; a whole number, for the kernel's alarm."""

CONTAINER_STOP = 3
"""From Docker's SIGTERM for a container of workers to its SIGKILL; a whole number, for Docker."""

LAUNCHER_EXIT = 3.0
"""For a local launcher to end by itself when the job is over."""

ENGINE_EXPLANATION = 2.0
"""For the engine to explain why a launcher's connection ended; a Swarm's manager knows after about one."""

LAUNCHER_EXPLANATION = 3.0
"""For the launcher, or the engine in its place, to explain why a worker's connection ended."""

KILL_REPORT = 5.0
"""For the launcher to report the end of a worker that was killed; one that sends nothing for so long when its job ends
is stopped by its engine."""

POOL_LOSS = 10.0
"""For a pool to learn that the worker whose connection has ended is gone: when its node is lost, no report comes."""

SECOND_SIGNAL = 2.0
"""For the end after a second Ctrl-C or SIGTERM; what then is left of the job ends with its runner."""

RUNNER_STOP = 60
"""From Docker's SIGTERM for a submitted runner to its SIGKILL; a whole number, for Docker."""

RUNNER_END = 70.0
"""For a submitted runner to end its job by itself, and Docker's own time for that."""

LEADER_RETURN = 10.0
"""For a leader that can't be reached when a job ends to come back: one that is restarted takes some seconds."""

CONTAINERS_STOP = 60.0
"""For the containers of a job that is over to stop: each needs two, and 200 of them share two cores."""

CONTAINERS_REMOVED = 10.0
"""For a node to remove the containers of a job that have stopped; it takes one or two, and nothing depends on it."""

STACK_ANSWER = 1.0
"""For a worker to write its stacks: first in Python, and where that doesn't run, once more in C."""

STACK_REPORT = 4.0
"""For a launcher to report the stacks of a worker."""

CONTROL_REQUEST = 2.0
"""For a client of a job's control socket to send its request, and to take the answer."""

CONTROL_ANSWER = 6.0
"""For a runner to answer on its control socket; one that takes longer is busy in its own code."""
