"""The samples of a job, for those who watch it: what workers use, what channels have carried, where slow calls are."""

from aioparcs.runner.sampling.channels import ChannelSampler
from aioparcs.runner.sampling.usage import UsageSampler

__all__ = ["ChannelSampler", "UsageSampler"]
