"""The reasons why a job waits, as text."""

from __future__ import annotations

from aioparcs.monitor.live_job import LiveJob
from aioparcs.monitor.records import Explanation

__all__ = ["explained"]


def explained(job: LiveJob) -> list[Explanation]:
    """Return why a job waits, the most important reasons first; nothing of one that has ended."""
    if job.state != "running":
        return []
    view = job.progress.view
    modules = [(f"module {state.module}", state.waits) for state in view.modules]
    pools = [(f"pool {pool.state.name}", pool.state.waits) for pool in view.pools.working]
    return [{"subject": subject, "text": text, "since": None} for subject, text in (*modules, *pools) if text]
