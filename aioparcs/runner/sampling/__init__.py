"""The samples of a job, for those who watch it: what its workers use, and what their channels have carried."""

from aioparcs.runner.sampling.channels import ChannelSampler
from aioparcs.runner.sampling.usage import UsageSampler

__all__ = ["ChannelSampler", "UsageSampler"]
