"""The live view of jobs: their histories, followed while they are written, as JSON that pages and terminals draw."""

from aioparcs.monitor.follower import CALLS, FollowedJob, Follower
from aioparcs.monitor.jobs import Jobs
from aioparcs.monitor.live import LiveJob
from aioparcs.monitor.stream import JobStream

__all__ = ["CALLS", "FollowedJob", "Follower", "JobStream", "Jobs", "LiveJob"]
