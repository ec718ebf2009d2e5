"""Sharing the tests out to processes: the longest first, and those of the one cluster to three of them at first."""

from collections import OrderedDict
from typing import Any

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it has no types

__all__ = ["ClusterScheduling"]

_CLUSTER = "tests/swarm/"
_PROCESSES = (
    3  # so many take the tests of the cluster while there are others: they wait for containers most of the time
)
# Files with a browser for all of their tests: shared out one by one they would start it in each process.
_WHOLE = ("tests/web/page/", "tests/recording/test_report_page.py")
# Tests of many seconds each: one that begins last is waited for by all other processes.
_LONG = ("tests/cli/test_fetch", "tests/display/test_jupyterlab", "tests/display/test_notebook", "tests/examples/",
         "tests/packaging/", "tests/pool/limits/test_timeouts", "tests/program/test_types",
         "tests/test_benchmarks")  # fmt: skip
# The longest of all, after those: their machines would start beside those of the cluster.
_MACHINES = ("tests/provision/test_up",)


class ClusterScheduling(LoadScopeScheduling):  # type: ignore[misc]  # as above
    """
    Hands each test to whichever process is free; those of a file on the cluster, or with a browser, together.

    ``--dist loadgroup`` would keep files together too, but pytest-xdist 3.8 writes groups to an attribute that
    pytest 9.2 doesn't read.
    """

    workqueue: OrderedDict[str, dict[str, bool]]

    def __init__(self, config: Any, log: Any) -> None:
        super().__init__(config, log)
        self._on_cluster: set[Any] = set()
        self._is_ordered = False

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0] if nodeid.startswith((_CLUSTER, *_WHOLE)) else nodeid

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        scope = self._split_scope(self.registered_collections[node][item_index])
        super().mark_test_complete(node, item_index, duration)
        work = self.assigned_work[node]
        if all(work[scope].values()):
            del work[scope]  # after each test its process is asked what is left of all that it was ever given

    def _assign_work_unit(self, node: Any) -> None:
        if not self._is_ordered:
            self.workqueue = OrderedDict(sorted(self.workqueue.items(), key=lambda item: _rank(item[0])))
            self._is_ordered = True
        scope = next(iter(self.workqueue))
        if node not in self._on_cluster and len(self._on_cluster) >= _PROCESSES:
            scope = next((other for other in self.workqueue if not other.startswith(_CLUSTER)), scope)
        if scope.startswith(_CLUSTER):
            self._on_cluster.add(node)
        self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)


def _rank(scope: str) -> int:
    """Return the place of tests: those on the cluster, files with a browser, long ones, bare machines, others."""
    ranks = enumerate(((_CLUSTER,), _WHOLE, _LONG, _MACHINES))
    return next((rank for rank, names in ranks if scope.startswith(names)), 4)
