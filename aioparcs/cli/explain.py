"""The command that says what a job does and waits for: ``aioparcs explain``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from aioparcs.cli.command import reported
from aioparcs.cli.modules import Usage
from aioparcs.display import sanitize
from aioparcs.display.view import duration
from aioparcs.errors import ClusterError
from aioparcs.monitor import CALLS, FollowedJob, LiveJob
from aioparcs.monitor.control import ControlError
from aioparcs.monitor.explain import Reason, reasons, worker_reasons
from aioparcs.monitor.jobs import histories_of
from aioparcs.monitor.records import JobRow, rounded
from aioparcs.monitor.stacks import logged_stack, read_stack
from aioparcs.recording.store import SUFFIX, histories, is_running

__all__ = ["explain"]

_EXAMPLES = """
\b
Examples:
  aioparcs explain                     the job that runs on this machine
  aioparcs explain squares             the one whose name begins so
  aioparcs explain squares-0a1b2c 3    what its worker 3 does, and where it is
  aioparcs explain 3f2a91c7            a job on the cluster, as aioparcs ps shows it
\b
Exit codes:
    0  done
    1  the cluster can't be reached, or refuses
    2  the command line or a setting is wrong, or there is no such job
  130  ended by Ctrl-C
  143  ended by SIGTERM
"""
# Bytes of a history from which its calls and lines are left out: reading them takes seconds.
_LARGE = 16 << 20
# Workers whose stacks are read for one answer.
_MOST_STACKS = 3


class Explained(NamedTuple):
    """
    What is known of a job at one time.

    Attributes:
        row: its row in a list of jobs.
        reasons: why it, or one of its workers, waits.
        stacks: of workers, by number.
        program: where the runner's own tasks are, "" if that was not read, or says nothing.
        problem: why stacks could not be read, "" if they could.
    """

    row: JobRow
    reasons: list[Reason]
    stacks: dict[int, str]
    program: str = ""
    problem: str = ""


def _jobs_there(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the jobs that run on this machine and whose names begin so, else all that are kept."""
    names = list(map(_name, _running() or histories()))
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


@click.command(short_help="Say what a job does right now, and why it waits.", epilog=_EXAMPLES)
@click.argument("job", required=False, shell_complete=_jobs_there)
@click.argument("worker", required=False, type=click.IntRange(min=0))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def explain(job: str | None, worker: int | None, as_json: bool) -> None:
    """Say what JOB, or one WORKER of it, does right now and what it waits for, with stacks where they say more.

    JOB is the name of a job of this machine or on the cluster, or its beginning, or nothing if just one job runs here.
    """
    with reported():
        found = _only_running() if job is None else _find(job)
        if isinstance(found, Path):
            explained = _explain_local(found, worker)
        else:
            from aioparcs.cli.explain_cluster import explain_cluster_job  # it loads Docker's libraries

            live, why = explain_cluster_job(found, worker)
            explained = _with_stacks(Explained(live.row(), why, {}), partial(logged_stack, live), worker)
    _print_json(explained) if as_json else _print(explained)


def _running() -> list[Path]:
    return [path for path in histories() if is_running(path)]


def _name(path: Path) -> str:
    return path.name.removesuffix(SUFFIX)


def _only_running() -> Path:
    """
    Return the history of the job that runs on this machine.

    Raises:
        Usage: none does, or several do.
    """
    running = _running()
    if len(running) == 1:
        return running[0]
    there = ", ".join(sorted(map(_name, running)))
    raise Usage(f"several jobs run here; name one of them: {there}" if running else "no job runs on this machine")


def _find(name: str) -> Path | str:
    """
    Return the history of the job of this machine that a name means, or the name of the one on the cluster.

    A whole name comes before the beginning of another one, wherever that is.

    Raises:
        Usage: several jobs have names that begin so, or none has.
    """
    found = histories_of(name)
    if [_name(path) for path in found] == [name]:
        return found[0]
    from aioparcs.cli.explain_cluster import cluster_names  # it loads Docker's libraries

    try:
        jobs = cluster_names(is_needed=not found)
    except ClusterError as error:
        raise _unknown(name, str(error)) from None
    if name in jobs:
        return name
    there = [one for one in jobs if one.startswith(name)]
    several = [*map(_name, found), *(f"{one} (on the cluster)" for one in there)]
    if len(several) > 1:
        raise Usage(f"several jobs have names that begin with {name!r}: {', '.join(several)}")
    if not several:
        known = f"; on the cluster there are: {', '.join(jobs)}" if jobs else ""
        raise Usage(f"no job of this machine or the cluster has a name that begins with {name!r}{known}")
    return found[0] if found else there[0]


def _explain_local(path: Path, worker: int | None) -> Explained:
    try:
        followed = FollowedJob(path, skip=CALLS if path.stat().st_size >= _LARGE else ())
    except OSError as error:
        raise click.ClickException(f"the history of {_name(path)} can't be read: {error.strerror}") from None
    with closing(followed):
        followed.poll()
        job = followed.job
        if worker is not None and job.workers.find(worker) is None:
            raise Usage(f"job {job.id} has no worker {worker}{_workers_there(job)}")
        found = reasons(job) if worker is None else worker_reasons(job, worker)
        explained = Explained(job.row(), found, {})
        return _with_stacks(explained, partial(read_stack, followed), worker)


def _unknown(name: str, reason: str) -> click.ClickException:
    there = f"no job of this machine has a name that begins with {name!r}, and the cluster's can't be seen: {reason}"
    return click.ClickException(there) if "LEADER_URL" in os.environ else Usage(there)


def _workers_there(job: LiveJob) -> str:
    numbers = [worker.number for worker in job.workers if not worker.how]
    return f"; there are {min(numbers)} to {max(numbers)}" if numbers else ""


def _with_stacks(explained: Explained, read: Callable[[int | None], str], worker: int | None) -> Explained:
    """Return what is known of a job, with the stacks that say more if it runs, which are read by number."""
    found = explained.reasons
    if explained.row["state"] != "running":
        return explained
    wanted = list(dict.fromkeys(reason.worker for reason in found if reason.worker is not None))[:_MOST_STACKS]
    is_program = worker is None and (any(reason.is_program for reason in found) or not found)
    stacks, program, problem = {}, "", ""
    for number in wanted:
        try:
            stacks[number] = read(number)
        except ControlError as error:
            problem = str(error)
    if is_program:
        try:
            program = read(None)
        except ControlError as error:
            problem = str(error)
    return explained._replace(stacks=stacks, program=program, problem=problem)


# Output


def _print(explained: Explained) -> None:
    row = explained.row
    lines = [f"{row['id']}: {_state(row)}"]
    shown: set[int] = set()
    for reason in explained.reasons:
        since = "" if reason.since is None else f" ({duration(max(0.0, row['seconds'] - reason.since))})"
        lines.append(f"{reason.subject}: {reason.text}{since}")
        if reason.worker in explained.stacks and reason.worker not in shown:
            shown.add(reason.worker)
            lines += _indented(explained.stacks[reason.worker])
    if row["state"] == "running" and not explained.reasons:
        lines.append("nothing that is known is in its way: its workers are busy")
    if explained.program:
        lines += ["where the program itself is:", *_indented(explained.program)]
    if explained.problem:
        lines.append(f"no stack: {explained.problem}")
    click.echo("\n".join(sanitize(line, color=False) for line in lines))


def _indented(text: str) -> list[str]:
    return [f"    {line}" if line else "" for line in text.split("\n")]


def _state(row: JobRow) -> str:
    """Return what a job is and how far it has got, in one line."""
    where, took = "the cluster" if row["engine"] == "swarm" else "this machine", duration(row["seconds"])
    match row["state"]:
        case "running":
            return ", ".join([f"{row['program']} runs on {where} for {took}", *_counts(row)])
        case "done":
            return f"{row['program']} has ended after {took}"
        case "stopped":
            return f"{row['program']} was stopped after {took}: {row['error']}"
        case "failed":
            return f"{row['program']} has failed after {took}: {row['error']}"
        case _:
            return f"{row['program']} was killed, or its machine was, after {took} or later: its end was not recorded"


def _counts(row: JobRow) -> list[str]:
    workers, items = row["workers"], row["items"]
    present = workers["requested"] - workers["done"] - workers["lost"] - workers["stopped"]
    parts = [f"{workers['up']} of {present} workers connected"] if present else []
    if workers["lost"]:
        parts.append(f"{workers['lost']} lost")
    if items["done"] or items["total"]:
        of = f" of {items['total']:,}" if items["total"] else ""
        parts.append(f"{items['done']:,}{of} items done")
    if row["left"] is not None:
        parts.append(f"{duration(row['left'])} left")
    return parts


def _print_json(explained: Explained) -> None:
    row = explained.row
    described: dict[str, Any] = {
        "job": row["id"],
        "program": row["program"],
        "engine": row["engine"],
        "state": row["state"],
        "seconds": row["seconds"],
        "workers": row["workers"],
        "items": row["items"],
        "left": row["left"],
        "error": row["error"],
        "explain": [
            {"subject": one.subject, "text": one.text, "since": one.since and rounded(one.since), "worker": one.worker}
            for one in explained.reasons
        ],
        "stacks": {str(number): text for number, text in explained.stacks.items()},
        "where": explained.program,
        "problem": explained.problem,
    }
    json.dump(described, sys.stdout, indent=2)
    with suppress(OSError):
        sys.stdout.write("\n")
