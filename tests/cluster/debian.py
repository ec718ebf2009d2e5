"""The files of a minimal Debian with Python, of which the images of Python and bare machines are made: built once."""

import fcntl
import hashlib
import shutil
from pathlib import Path

from tests.cluster.command import execute

__all__ = ["APART", "MIRROR", "NOT_NEEDED", "SUITE", "provide", "prune", "recipe"]

SUITE, MIRROR = "bookworm", "http://deb.debian.org/debian"
NOT_NEEDED = (
    "usr/share/doc", "usr/share/info", "usr/share/lintian", "usr/share/locale", "usr/share/man",
    "var/cache/apt", "var/cache/debconf", "var/lib/apt/lists", "var/log",
)  # fmt: skip
"""Folders that are emptied."""
APART = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
"""What runs a command whose mounts are its own, and which ends with this process."""


def provide(cache: Path) -> Path:
    """
    Return the archive, made if it is not there; waits while another process of the tests makes it.

    Args:
        cache: the folder where it is kept.

    Raises:
        ClusterError: Debian's archive can't be reached.
    """
    archive, mark, tree = cache / "debian.tar", cache / "debian.recipe", cache / "debian"
    with (cache / "debian.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists() or mark.read_text() != recipe():
            shutil.rmtree(tree, ignore_errors=True)
            execute(*APART, "debootstrap", "--variant=minbase", "--include=python3", SUITE, tree, MIRROR, timeout=600)
            prune(tree)
            (tree / "etc/resolv.conf").unlink()
            (tree / "usr/bin/python").symlink_to("python3")
            execute("tar", "--create", "--file", archive, "--directory", tree, ".", timeout=300)
            shutil.rmtree(tree)
            mark.write_text(recipe())
    return archive


def prune(tree: Path) -> None:
    """Empty the folders of a tree that are not needed."""
    for name in NOT_NEEDED:
        shutil.rmtree(tree / name, ignore_errors=True)
        (tree / name).mkdir()


def recipe() -> str:
    """Return a short digest of what makes the archive."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
