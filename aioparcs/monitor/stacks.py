"""The stacks of a running job: from its program, or from the log of a runner on a Swarm, as its history has it."""

from __future__ import annotations

from aioparcs.display.view import duration
from aioparcs.monitor.control import ControlError, send_request
from aioparcs.monitor.follower import FollowedJob
from aioparcs.monitor.live import LiveJob

__all__ = ["logged_stack", "read_stack"]


def read_stack(followed: FollowedJob, worker: int | None) -> str:
    """
    Return where a worker of a job is, or its program, for None; for a thread without an event loop.

    Raises:
        ControlError: that can't be had.
    """
    try:
        if worker is None:
            return send_request(followed.socket, "where")
        return send_request(followed.socket, "stack", worker=worker)
    except ControlError:
        if not followed.job.started.is_submitted:
            raise
        return logged_stack(followed.job, worker)


def logged_stack(job: LiveJob, worker: int | None) -> str:
    """
    Return where a worker of a job on a Swarm was, or its program, for None, when its runner's log had it last.

    Raises:
        ControlError: the log has nothing of it.
    """
    if not job.started.is_submitted:
        raise ControlError("its runner is no container of the cluster: aioparcs explain reads them where it runs")
    stack = job.stacks.get(worker)  # once: another thread may follow the job
    if stack is None:
        if worker is None:
            raise ControlError("the log of its runner does not say yet where the program is")
        raise ControlError(
            f"the log of its runner has no stack of worker {worker}: it has those of the three calls that have run "
            "for the longest time, from four seconds on"
        )
    time, text = stack
    return f"{duration(max(0.0, job.now - time))} ago, as the log of its runner has it:\n{text}" if text else ""
