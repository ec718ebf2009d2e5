"""Sharing the tests out to processes: those on the cluster, of which there is one, all go to the same process."""

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it has no types

__all__ = ["OneForTheCluster", "is_on_cluster"]


def is_on_cluster(nodeid: str) -> bool:
    """Return whether a test may use the cluster: its fixture is in the ``conftest.py`` of that folder."""
    return nodeid.startswith("tests/swarm/")


class OneForTheCluster(LoadScopeScheduling):  # type: ignore[misc]  # as above
    """
    Hands the cluster's tests to one process, in their order, and each other test to whichever process is free.

    ``--dist loadgroup`` would do the same, but pytest-xdist 3.8 writes groups to an attribute that pytest 9.2 doesn't
    read.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "cluster" if is_on_cluster(nodeid) else nodeid
