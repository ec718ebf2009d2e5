"""Runners that are killed at random moments; ``python -m tests.exits moments`` kills 200."""

import pytest

from tests.exits.moments import Moments, build
from tests.support.live import Cluster
from tests.support.submitted import own


@pytest.mark.alone
def test_what_runners_leave_that_are_killed_at_random_moments_is_swept(cluster: Cluster) -> None:
    build(own(cluster))
    assert Moments(cluster, seed=1).kill(6) == []
