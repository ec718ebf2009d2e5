"""Sharing the tests out to processes: two of them take the tests of the one cluster, all take the others."""

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it has no types

__all__ = ["ClusterScheduling"]


class ClusterScheduling(LoadScopeScheduling):  # type: ignore[misc]  # as above
    """
    Hands the cluster's tests to two processes, each half in its order, and each other test to whichever is free.

    The halves take about as long, and in both a process waits for containers most of the time. ``--dist loadgroup``
    would do the same, but pytest-xdist 3.8 writes groups to an attribute that pytest 9.2 doesn't read.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith("tests/swarm/engine/") and "test_original" not in nodeid:
            return "cluster: engine"
        return "cluster" if nodeid.startswith("tests/swarm/") else nodeid
