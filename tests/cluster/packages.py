"""Debian's packages, only where a command is missing, and without starting the services that they bring."""

import fcntl
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.command import ENVIRONMENT, ClusterError, execute

__all__ = ["provide"]

_COMMANDS = {
    "dockerd": "docker.io",
    "docker-init": "docker.io",
    "docker-registry": "docker-registry",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "iptables": "iptables",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}
_LOCK = Path("/tmp/aioparcs-tests-packages.lock")
_POLICY = Path("/usr/sbin/policy-rc.d")  # what Debian asks before it starts a service
_INSTALL = f"mount --bind {{policy}} {_POLICY} && exec apt-get install -qq -y --no-install-recommends {{packages}}"


def provide(folder: Path, commands: Mapping[str, str] = _COMMANDS) -> list[str]:
    """
    Install what is missing, and name the packages; waits while another process of the tests does so.

    Args:
        folder: where a file may be put meanwhile.
        commands: the packages of the commands that are wanted; those of a cluster by default.

    Raises:
        ClusterError: this is no Debian, or apt-get fails.
    """
    if all(map(_has, (*commands, "docker"))):
        return []
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # apt-get of another process of the tests has one of its own, and gives up
        wanted = sorted({package for command, package in commands.items() if not _has(command)})
        if wanted:
            _install(folder, wanted)
        if not _has("docker"):  # the client: part of docker.io up to Debian 12, a package of its own since
            _install(folder, ["docker-cli"])
            wanted.append("docker-cli")
    return wanted


def _has(command: str) -> bool:
    return shutil.which(command, path=ENVIRONMENT["PATH"]) is not None


def _install(folder: Path, packages: list[str]) -> None:
    if not _has("apt-get"):
        raise ClusterError(f"no apt-get here to install {' '.join(packages)}; install what they hold in another way")
    policy = folder / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")  # "the action is forbidden"
    policy.chmod(0o755)
    was_there = _POLICY.exists()
    _POLICY.touch()  # a place to mount it on: only this installation sees it there
    environment = ENVIRONMENT | {"DEBIAN_FRONTEND": "noninteractive"}
    install = _INSTALL.format(policy=policy, packages=" ".join(packages))
    try:
        execute("apt-get", "update", "-qq", timeout=300, env=environment)
        execute("unshare", "--mount", "sh", "-c", install, timeout=300, env=environment)
    finally:
        policy.unlink()
        if not was_there:
            _POLICY.unlink()
