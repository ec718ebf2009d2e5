"""The reasons why a job waits, in plain sentences: pure functions of what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from aioparcs.display.view import Pool, counted
from aioparcs.events import RunningCall
from aioparcs.monitor.live import LiveJob, Worker
from aioparcs.monitor.records import Explanation, rounded

__all__ = ["Reason", "explained", "explained_worker", "reasons", "worker_reasons"]

# Seconds from which a call is named; and bytes that wait in a channel from which that is named.
_LONG, _MUCH = 5.0, 256 << 10
_MOST = 5  # workers whose channels are named
# What pools say that wait for the program's own code, and what that means.
_OWN_CODE = {
    "waits for items of its iterable": "waits for items of its iterable: the program's own generator, or what it waits "
    "for, has not given the next one",
    "waits for its results to be taken": "waits for its results to be taken: the program's own loop over them has not "
    "asked for the next one",
}


class Reason(NamedTuple):
    """
    A reason why something waits.

    Attributes:
        subject: job, ``pool NAME``, ``module NAME`` or ``worker N``.
        text: what it waits for, as the rest of a sentence.
        since: since when, in seconds since the job began; None if that isn't known.
        worker: the worker whose stack says more; None for none.
        is_program: whether what the runner's own tasks do says more.
    """

    subject: str
    text: str
    since: float | None = None
    worker: int | None = None
    is_program: bool = False


def explained(job: LiveJob) -> list[Explanation]:
    """Return why a job waits, as JSON, the most important reasons first; nothing of one that has ended."""
    return [_json(reason) for reason in reasons(job)]


def explained_worker(job: LiveJob, number: int) -> list[Explanation]:
    """Return what a worker does or waits for, as JSON."""
    return [_json(reason) for reason in worker_reasons(job, number)]


def reasons(job: LiveJob) -> list[Reason]:
    """Return why a job waits, the most important reasons first; none if it has ended, or nothing is in its way."""
    if job.state != "running":
        return []
    found = [*_modules(job), *_pools(job), *_channels(job)]
    return found or [*_program(job)]


def worker_reasons(job: LiveJob, number: int) -> list[Reason]:
    """Return what a worker does or waits for; nothing of one that isn't known."""
    worker, subject = job.workers.find(number), f"worker {number}"
    if worker is None:  # as of a log of which only the end is read
        calls = (call for own in job.workers.running.values() for call in own if call.worker == number)
        return [Reason(subject, f"runs {call.call}", call.begin, number) for call in calls]
    if worker.how or job.state != "running":
        return [Reason(subject, _ended(worker), worker.ended)]
    if worker.connected is None:
        waits = next((one.text for one in _modules(job) if one.subject == f"module {worker.module}"), "")
        return [Reason(subject, f"is starting{f'; of its module, {waits}' if waits else ''}", worker.requested)]
    found = [reason for reason in _channels(job) if reason.subject == subject]
    if worker.current:
        return [Reason(subject, f"runs {worker.current['call']}", worker.current["begin"], number), *found]
    if worker.is_calling:
        return [Reason(subject, "makes one short call after the other", worker=number), *found]
    pools = [pool for pool in _pools(job) if pool.subject == f"pool {worker.module}"]
    text = "runs no call that is known: it waits for calls or messages, or works by itself"
    return [*found, Reason(subject, text, worker.reached or worker.connected, number), *pools]


# Starts


def _modules(job: LiveJob) -> Iterator[Reason]:
    """Yield what modules wait for whose workers are starting."""
    for state in job.progress.view.modules:
        starting = state.present - state.up
        if starting <= 0 and not state.waits:
            continue
        text = state.waits or f"{_some(starting, state.present)} starting"
        yield Reason(f"module {state.module}", text, _since(job, job.progress.waits_since.since(state.module)))


def _some(count: int, of: int) -> str:
    what = counted(count, "worker") if count == of else f"{count} of {of} workers"
    return f"{what} {'is' if count == of == 1 else 'are'}"


# Pools


def _pools(job: LiveJob) -> Iterator[Reason]:
    """Yield what open pools wait for."""
    for pool in job.progress.view.pools.working:
        yield from _pool(job, pool)


def _pool(job: LiveJob, pool: Pool) -> Iterator[Reason]:
    state, subject = pool.state, f"pool {pool.state.name}"
    since = _since(job, job.progress.waits_since.since(state.id))
    calls = _long_calls(job, state.id, is_slow=" has run for " in state.waits)
    if calls:
        yield Reason(subject, _slow(calls), calls[0].begin, calls[0].worker)
    elif state.waits:
        yield Reason(subject, _OWN_CODE.get(state.waits, state.waits), since, is_program=state.waits in _OWN_CODE)
    elif state.wanted and not state.running and state.workers >= state.wanted:
        yield from _idle(job, pool, subject)


def _idle(job: LiveJob, pool: Pool, subject: str) -> Iterator[Reason]:
    """Yield why a pool has nothing to do."""
    state, since = pool.state, _since(job, job.progress.waits_since.done_since(pool.state.id))
    if not state.done:
        yield Reason(subject, "has workers and no items: the program has given it none", since, is_program=True)
    elif state.done == state.total:
        text = f"has done all of its {counted(state.done, 'item')}, and the program has not left it"
        yield Reason(subject, text, since, is_program=True)


def _long_calls(job: LiveJob, pool: int | None, *, is_slow: bool) -> list[RunningCall]:
    """Return the calls of a pool that have run for long, the oldest first."""
    calls = [call for call in job.workers.running.get(pool, ()) if not _is_over(job, call.worker)]
    return calls if calls and (is_slow or job.now - calls[0].begin > _LONG) else []


def _is_over(job: LiveJob, number: int) -> bool:
    worker = job.workers.find(number)
    return worker is not None and bool(worker.how)


def _slow(calls: list[RunningCall]) -> str:
    first = f"waits for {calls[0].call} in worker {calls[0].worker}"
    return first if len(calls) == 1 else f"{first}, the oldest of {len(calls)} calls that have run for over a second"


# Channels


def _channels(job: LiveJob) -> Iterator[Reason]:
    """Yield the workers that don't read what they were sent, or whose messages the program doesn't receive."""
    for call in _long_calls(job, None, is_slow=False)[:1]:
        yield Reason(f"worker {call.worker}", f"runs {call.call}", call.begin, call.worker)
    full = [worker for worker in job.workers if not worker.how and _waiting(worker) >= _MUCH]
    for worker in sorted(full, key=_waiting, reverse=True)[:_MOST]:
        assert worker.channel
        queued, unread = worker.channel["queued"], worker.channel["unread"]
        if queued >= unread:
            text = f"does not read what it was sent: {_size(queued)} wait for it, and so does who sends more"
            yield Reason(f"worker {worker.number}", text, worker=worker.number)
        else:
            text = f"has sent {_size(unread)} that the program has not received, and waits for that to send more"
            yield Reason(f"worker {worker.number}", text, is_program=True)


def _waiting(worker: Worker) -> int:
    return max(worker.channel["queued"], worker.channel["unread"]) if worker.channel else 0


def _size(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"


# The program


def _program(job: LiveJob) -> Iterator[Reason]:
    """Yield why a job does nothing that is known: its program runs its own code."""
    progress = job.progress
    if not progress.view.modules:
        yield Reason("job", "has not started a worker yet: the program runs its own code", 0.0, is_program=True)
    elif not progress.up:
        ended = max((worker.ended or 0.0 for worker in job.workers), default=None)
        yield Reason("job", "has no workers now: the program runs its own code", ended, is_program=True)
    elif not (progress.running or job.workers.calling):
        up, works, waits = (
            ("is", "it works by itself", "waits") if progress.up == 1 else ("are", "they work by themselves", "wait")
        )
        text = f"{counted(progress.up, 'worker')} {up} connected, and no call is known to run: {works}"
        yield Reason("job", f"{text} or {waits} for messages, and the program runs its own code", is_program=True)


def _ended(worker: Worker) -> str:
    match worker.how:
        case "lost":
            return f"was lost: {worker.reason}"
        case "stopped":
            return "was ended by its runner"
        case "done":
            return "has ended cleanly"
        case "unknown":
            return "was not seen to end: its runner was killed, or its machine went down"
        case _:
            return "has ended with its job"


def _since(job: LiveJob, time: float | None) -> float | None:
    """Return a time of the program's clock in seconds since the job began."""
    return None if time is None else max(0.0, time - job.started.time)


def _json(reason: Reason) -> Explanation:
    since = None if reason.since is None else rounded(reason.since)
    return {"subject": reason.subject, "text": reason.text, "since": since}
