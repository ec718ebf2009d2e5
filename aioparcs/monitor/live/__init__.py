"""The live view of one job: events go in, JSON comes out; no file is read, and no clock."""

from aioparcs.monitor.live.live_job import LiveJob
from aioparcs.monitor.live.output import OUTPUT
from aioparcs.monitor.live.worker import Worker

__all__ = ["OUTPUT", "LiveJob", "Worker"]
