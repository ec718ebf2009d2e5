"""The view of a job that all displays draw from: what there is to show, from events, without input or output."""

from aioparcs.display.view.job_view import JobView, ModuleCounts, describe_end
from aioparcs.display.view.pools import Pool, Pools, counted
from aioparcs.display.view.rate import RateEstimator, duration, frequency

__all__ = [
    "JobView",
    "ModuleCounts",
    "Pool",
    "Pools",
    "RateEstimator",
    "counted",
    "describe_end",
    "duration",
    "frequency",
]
