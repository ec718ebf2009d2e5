"""The list of all jobs whose histories are kept on this machine."""

from __future__ import annotations

from pathlib import Path

from aioparcs.monitor.follower import DETAILS, FollowedJob
from aioparcs.monitor.records import JobRow
from aioparcs.recording.store import SUFFIX, histories, is_running, store_folder

__all__ = ["Jobs", "histories_of"]


def histories_of(name: str) -> list[Path]:
    """
    Return the histories that a name may mean, by path; just one if it is clear.

    Args:
        name: a job's name, or its beginning: that of the jobs that run, if some that begin so do. The whole name of a
            program that has ended several times means its last run.
    """
    matching = sorted(path for path in histories() if path.name.startswith(name))
    exact = [path for path in matching if path.name == f"{name}{SUFFIX}"]
    found = exact or [path for path in matching if is_running(path)]
    if found or not all(path.stem.rpartition("-")[0] == name for path in matching):
        return found or matching
    return sorted(matching, key=_ended_at)[-1:]


def _ended_at(history: Path) -> float:
    try:
        return history.stat().st_mtime
    except OSError:  # it was removed meanwhile
        return 0.0


class Jobs:
    """
    The jobs of a folder; those that have ended are read once.

    Args:
        folder: the folder of histories, by default the user's own.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or store_folder()
        self._open: dict[Path, FollowedJob] = {}
        self._ended: dict[Path, JobRow] = {}

    def rows(self) -> list[JobRow]:
        """
        Return the rows of all jobs, running ones and the newest first.

        Many long histories take a while, so call it in a thread.
        """
        there = set(histories(self._folder))
        for path in self._open.keys() - there:
            self._open.pop(path).close()
        self._ended = {path: row for path, row in self._ended.items() if path in there}
        rows = list(self._ended.values())
        rows += [row for path in there - self._ended.keys() if (row := self._poll(path))]
        return sorted(rows, key=lambda row: (row["state"] != "running", -row["started"], row["id"]))

    def path(self, name: str) -> Path | None:
        """Return the history of a job, None if there is none of that name."""
        return next((path for path in histories(self._folder) if path.name == f"{name}{SUFFIX}"), None)

    def close(self) -> None:
        """Close all histories."""
        for followed in self._open.values():
            followed.close()
        self._open.clear()

    def _poll(self, path: Path) -> JobRow | None:
        try:
            followed = self._open.get(path) or self._open.setdefault(path, FollowedJob(path, skip=DETAILS))
        except OSError:  # it was removed, or can't be read
            return None
        followed.poll()
        row = followed.job.row()
        if not followed.job.is_running:
            self._open.pop(path).close()
            self._ended[path] = row
        return row
