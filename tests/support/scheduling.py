"""Sharing the tests out to processes: three of them take the tests of the one cluster, all take the others."""

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it has no types

__all__ = ["ClusterScheduling"]


# Files with a browser, or an installation, for all of their tests: shared out one by one each process would make it.
_WHOLE = ("tests/packaging/", "tests/recording/test_report_page.py", "tests/web/page/")


class ClusterScheduling(LoadScopeScheduling):  # type: ignore[misc]  # as above
    """
    Hands the cluster's tests to three processes, each third in its order, and each other test to whichever is free;
    those of a file with a browser or an installation together.

    The thirds take about as long, and in each a process waits for containers most of the time. ``--dist loadgroup``
    would do the same, but pytest-xdist 3.8 writes groups to an attribute that pytest 9.2 doesn't read.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(_WHOLE):
            return nodeid.partition("::")[0]
        if not nodeid.startswith("tests/swarm/"):
            return nodeid
        if not nodeid.startswith(("tests/swarm/docker/", "tests/swarm/engine/")):
            return "cluster: others"
        return "cluster: docker, engine to o" if nodeid < "tests/swarm/engine/test_p" else "cluster: engine from p"
