"""The folders of the cluster: those that `down` removes, and the cache, which stays."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.command import ClusterError

__all__ = ["REPOSITORY", "Places"]

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Places:
    """
    The folders of the one cluster of this machine.

    Attributes:
        home: all of it; ``PARCS_CLUSTER_DIR``, else ``/var/lib/aioparcs-cluster``.
    """

    home: Path

    @classmethod
    def here(cls) -> "Places":
        """Find the folder; it need not exist."""
        return cls(Path(os.environ.get("PARCS_CLUSTER_DIR") or "/var/lib/aioparcs-cluster").absolute())

    @property
    def cache(self) -> Path:
        """What makes the next `up` fast: the registry with the base images."""
        return self.home / "cache"

    @property
    def run(self) -> Path:
        """What is there only while the cluster is up."""
        return self.home / "run"

    @property
    def record(self) -> Path:
        """The file that tells the addresses of the cluster that is up."""
        return self.run / "cluster.json"

    def node(self, name: str) -> Path:
        """Return the folder of a node's dockerd."""
        return self.run / name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold a lock, so that one process at a time brings the cluster up or down.

        Raises:
            ClusterError: another one is at it.
        """
        self.cache.mkdir(parents=True, exist_ok=True)
        with (self.cache / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ClusterError(
                    f"another process brings the cluster in {self.home} up or down; wait for it"
                ) from None
            yield
