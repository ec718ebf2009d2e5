"""Sharing the tests out to processes: one of them takes the tests of the one cluster, all take the others."""

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it has no types

__all__ = ["ClusterScheduling"]


class ClusterScheduling(LoadScopeScheduling):  # type: ignore[misc]  # as above
    """
    Hands the cluster's tests to one process, in their order, and each other test to whichever process is free.

    In two processes they end a few minutes sooner, but a job that one has just submitted removes the orphans that a
    test of the other wants to find. ``--dist loadgroup`` would do the same, but pytest-xdist 3.8 writes groups to an
    attribute that pytest 9.2 doesn't read.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "cluster" if nodeid.startswith("tests/swarm/") else nodeid
