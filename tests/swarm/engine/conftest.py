"""Fixtures of the tests of the engine on a real Swarm."""

from pathlib import Path

import pytest

from tests.support.live import Cluster
from tests.support.submitted import own


@pytest.fixture
def folder(cluster: Cluster, tmp_path: Path) -> Path:
    """Return a folder that all containers can mount: the nodes are on this machine."""
    own(cluster)
    tmp_path.chmod(0o777)
    return tmp_path
