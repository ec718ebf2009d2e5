"""
Bare machines on this one: each with its own files, network, processes and sshd, as a cloud would give them.

They are not the nodes of the tests' cluster: namespaces, addresses and folders have other names.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import cgroups, namespaces
from tests.cluster.command import detach, execute, until
from tests.cluster.places import Places
from tests.provision.tree import Trees, provide

__all__ = ["Machine", "Network", "machines"]

_PREFIX = "bare-"
_SWITCH = f"{_PREFIX}switch"
_HERE = "bare0"  # this machine's end of its cable
_SUBNET = "10.214.77"
_START = 60.0

# The first process of a machine: its own files as its root, then a process that reaps the others.
_FIRST = """
set -e
hostname {name}
mount -t overlay overlay -o lowerdir={lower},upperdir={folder}/upper,workdir={folder}/work {folder}/root
cd {folder}/root
mount --bind {folder}/docker var/lib/docker
mount --rbind /sys sys
mount --rbind /dev dev
mount -t proc proc proc
mount -t tmpfs tmpfs run
mkdir run/sshd old
pivot_root . old
exec chroot . sh -c 'umount --lazy /old && exec init -- sleep infinity' </dev/null
"""
_DAEMON = '{{"exec-opts": ["native.cgroupdriver=cgroupfs"], "cgroup-parent": "/{name}"}}\n'


@dataclass(frozen=True, slots=True)
class Machine:
    """
    Attributes:
        name: its host name.
        address: its address, by which ssh reaches it.
        folder: where its files are.
    """

    name: str
    address: str
    folder: Path

    def run(self, *command: str, timeout: float = 120) -> str:
        """Run a command on it as root, and return its output."""
        return execute(*self._inside, *command, timeout=timeout)

    def start(self, trees: Trees, *, docker: bool) -> None:
        """Start it with its sshd, with or without Docker's packages."""
        lower = f"{trees.docker}:{trees.bare}" if docker else str(trees.bare)
        for name in ("upper/etc/docker", "upper/var/lib/docker", "work", "root", "docker"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "upper/etc/docker/daemon.json").write_text(_DAEMON.format(name=self.name))
        (self.folder / "upper/etc/default").mkdir()
        (self.folder / "upper/etc/default/docker").write_text("ulimit() { :; }  # which may not be raised here\n")
        (self.folder / "upper/etc/resolv.conf").write_text(
            "nameserver 127.0.0.1\n"
        )  # there is none, as it says at once
        (self.folder / "upper/etc/hosts").write_text(f"127.0.0.1 localhost\n{self.address} {self.name}\n")
        _plug(self.name, self.address)
        own = ("--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc")
        script = _FIRST.format(name=self.name, lower=lower, folder=self.folder)
        inside = ("nsenter", f"--net={namespaces.file(self.name)}", "unshare", *own)
        detach(self.folder / "log", *inside, "sh", "-c", script)
        until(self._has_begun, _START, lambda: f"{self.name} does not begin: {(self.folder / 'log').read_text()}")
        self.start_sshd()

    def provide_images(self) -> None:
        """Start its Docker, and give it the images that others pull from the internet: Python, and a registry."""
        self.run("service", "docker", "start")
        until(
            lambda: self.run("sh", "-c", "docker version 2>/dev/null || true").count("Version:") > 1,
            _START, f"no Docker on {self.name}",
        )  # fmt: skip
        entry = 'ENTRYPOINT ["/usr/bin/docker-registry", "serve", "/config.yml"]'
        self.run("docker", "import", "--change", entry, "/srv/images/registry.tar", "registry:2", timeout=120)
        self.run("docker", "import", "--change", 'CMD ["python3"]', "/srv/images/python.tar", "python", timeout=120)

    def start_sshd(self) -> None:
        """Start its sshd."""
        detach(self.folder / "sshd.log", *self._inside, "/usr/sbin/sshd", "-D", "-e")
        log = self.folder / "sshd.log"
        until(lambda: "Server listening" in log.read_text(), _START, lambda: f"no sshd: {log.read_text()}")

    @property
    def _inside(self) -> tuple[str, ...]:
        first = namespaces.first_process(self.name)
        assert first, f"{self.name} is not there"
        options = ("--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd=/")
        return ("nsenter", "--target", str(first.pid), *options, "--")

    def _has_begun(self) -> bool:
        first = namespaces.first_process(self.name)
        return first is not None and namespaces.has_name(first, "init")


@dataclass(frozen=True, slots=True)
class Network:
    """
    Machines that reach each other, and are reached from here.

    Attributes:
        machines: the machines.
        home: the home of a user here who has the key that they accept, and knows their own.
        folder: where all of it is.
        wheels: what aioparcs requires, for images that are built without network.
    """

    machines: tuple[Machine, ...]
    home: Path
    folder: Path
    wheels: Path


@contextmanager
def machines(with_docker: tuple[bool, ...]) -> Iterator[Network]:
    """
    Start machines, and remove all that is left of them at the end.

    Args:
        with_docker: of each machine, whether it has Docker's packages.
    """
    places = Places.here()
    folder = places.home / "machines"
    places.cache.mkdir(parents=True, exist_ok=True)
    with (places.cache / "machines.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of the tests has them, and soon none
        try:
            yield _start(folder, places.cache / "machines", with_docker)
        finally:
            _remove(folder)


def _start(folder: Path, cache: Path, with_docker: tuple[bool, ...]) -> Network:
    _remove(folder)
    folder.mkdir(parents=True)
    trees = provide(cache, folder)
    names = [f"{_PREFIX}{i + 1}" for i in range(len(with_docker))]
    found = tuple(Machine(name, f"{_SUBNET}.{11 + i}", folder / name) for i, name in enumerate(names))
    _lay()
    for machine, docker in zip(found, with_docker, strict=True):
        machine.start(trees, docker=docker)
    return Network(found, _home(folder, trees, found), folder, trees.wheels)


def _home(folder: Path, trees: Trees, found: tuple[Machine, ...]) -> Path:
    ssh = folder / "home/.ssh"
    ssh.mkdir(parents=True)
    shutil.copy(trees.keys / "id_ed25519", ssh)
    key = " ".join((trees.keys / "host.pub").read_text().split()[:2])
    (ssh / "known_hosts").write_text("".join(f"{machine.address} {key}\n" for machine in found))
    return ssh.parent


def _lay() -> None:
    """Create a switch, and this machine's cable."""
    namespaces.add(_SWITCH)
    execute("ip", "-n", _SWITCH, "link", "add", "bridge", "type", "bridge")
    execute("ip", "-n", _SWITCH, "link", "set", "bridge", "up")
    execute("ip", "link", "add", _HERE, "type", "veth", "peer", "name", "here", "netns", _SWITCH)
    execute("ip", "-n", _SWITCH, "link", "set", "here", "master", "bridge", "up")
    execute("ip", "addr", "add", f"{_SUBNET}.1/24", "dev", _HERE)
    execute("ip", "link", "set", _HERE, "up")


def _plug(name: str, address: str) -> None:
    namespaces.add(name)
    execute("ip", "-n", _SWITCH, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
    execute("ip", "-n", _SWITCH, "link", "set", name, "master", "bridge", "up")
    execute("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
    execute("ip", "-n", name, "link", "set", "eth0", "up")
    execute("ip", "-n", name, "route", "add", "default", "via", f"{_SUBNET}.1")  # as a machine has one


def _remove(folder: Path) -> None:
    """Remove all of it, also what a test that was killed has left."""
    if _HERE in os.listdir("/sys/class/net"):
        execute("ip", "link", "del", _HERE)
    for path in Path("/run/netns").glob(f"{_PREFIX}*"):
        namespaces.remove(path.name)
        cgroups.remove(path.name)
    shutil.rmtree(folder, ignore_errors=True)
