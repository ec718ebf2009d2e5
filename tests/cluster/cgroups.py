"""The control groups that dockerd makes below a node's name and leaves when it is killed."""

from pathlib import Path

from tests.cluster.command import until

__all__ = ["remove"]

_ROOT = Path("/sys/fs/cgroup")
_EMPTY = 10.0  # seconds until the kernel has let go of processes that were killed


def remove(name: str) -> None:
    """Remove a node's groups, in every hierarchy, as soon as nothing is left in them."""
    tops = [path for path in (_ROOT / name, *_ROOT.glob(f"*/{name}")) if path.is_dir()]
    until(lambda: all(_remove(top) for top in tops), _EMPTY, f"processes are left in {_ROOT}/*/{name}")


def _remove(top: Path) -> bool:
    groups = [path for path in top.rglob("*") if path.is_dir()] if top.is_dir() else []
    for group in sorted(groups, reverse=True) + [top] * top.is_dir():
        try:
            group.rmdir()
        except OSError:  # busy for a moment longer
            return False
    return True
