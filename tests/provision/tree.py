"""The files of a bare machine: Debian with an sshd, a user who may use sudo, and Docker's packages to install."""

import hashlib
import shutil
from collections.abc import Sequence
from importlib.metadata import requires
from pathlib import Path

from tests.cluster import packages
from tests.cluster.command import execute
from tests.cluster.image import download

__all__ = ["USER", "Trees", "provide"]

USER = "ada"
"""Who logs in to the machines."""

_SUITE = "bookworm"
_MIRROR = "http://deb.debian.org/debian"
_INCLUDED = "python3,openssh-server,sudo,iproute2,iptables,ca-certificates,kmod"
_NOT_NEEDED = ("usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man", "var/lib/apt/lists", "var/log")
_COMMANDS = {
    "debootstrap": "debootstrap",
    "dockerd": "docker.io",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "docker-registry": "docker-registry",
}
_REGISTRY = "version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/registry}}\nhttp: {addr: ':5000'}\n"
_APART = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


class Trees:
    """
    Trees of files, which nothing writes to.

    Args:
        folder: where they are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.bare = folder / "bare"
        self.docker = folder / "docker"  # what Docker's packages add to it
        self.keys = folder / "keys"  # the user's, and all machines' own
        self.wheels = folder / "wheels"  # what aioparcs requires

    def is_current(self) -> bool:
        """Return whether they are as they are made here."""
        mark = self._folder / "recipe"
        return mark.exists() and mark.read_text() == _recipe()

    def make(self) -> None:
        """Build them."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self.keys.mkdir(parents=True)
        execute("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.keys / "id_ed25519")
        execute(*_APART, "debootstrap", "--variant=minbase", f"--include={_INCLUDED}", _SUITE, self.bare, _MIRROR,
                timeout=600)  # fmt: skip
        for name in _NOT_NEEDED:
            shutil.rmtree(self.bare / name, ignore_errors=True)
            (self.bare / name).mkdir()
        self._provide_packages()
        self._pack_images()  # before there is a user: its number is that of the user of aioparcs' images
        self._add_user()
        self._install_docker()
        download(self.wheels, *required())
        (self._folder / "recipe").write_text(_recipe())

    def _provide_packages(self) -> None:
        """Download Docker's packages, into an archive on the machine itself."""
        state, archive = self._folder / "apt", self.bare / "srv/packages"
        for path in (state / "lists/partial", state / "cache", archive / "partial"):
            path.mkdir(parents=True)
        sources = state / "sources.list"
        sources.write_text(f"deb [trusted=yes] {_MIRROR} {_SUITE} main\n")
        given = {
            "Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "/dev/null", "Dir::State": state,
            "Dir::State::status": self.bare / "var/lib/dpkg/status", "Dir::Cache": state / "cache",
            "Dir::Cache::archives": archive, "APT::Keep-Downloaded-Packages": "true", "Debug::NoLocking": "1",
        }  # fmt: skip
        options = [word for name, value in given.items() for word in ("-o", f"{name}={value}")]
        execute("apt-get", *options, "update", "-qq", timeout=120)
        execute("apt-get", *options, "install", "-qq", "-y", "--no-install-recommends", "--download-only", "docker.io",
                timeout=300)  # fmt: skip
        shutil.rmtree(state)
        found = sorted(archive.glob("*.deb"))
        (archive / "Packages").write_text("\n".join(map(_entry, found)))
        (self.bare / "etc/apt/apt.conf.d/keep").write_text('DPkg::Options { "--force-confold"; };\n')
        (self.bare / "etc/apt/sources.list").write_text("deb [trusted=yes] file:/srv/packages ./\n")

    def _add_user(self) -> None:
        execute("chroot", self.bare, "useradd", "--create-home", "--shell", "/bin/bash", USER)
        (self.bare / "etc/sudoers.d" / USER).write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
        keys = self.bare / "home" / USER / ".ssh"
        keys.mkdir()
        shutil.copy(self.keys / "id_ed25519.pub", keys / "authorized_keys")
        execute("chroot", self.bare, "chown", "-R", USER, f"/home/{USER}/.ssh")
        shutil.copy(self.bare / "etc/ssh/ssh_host_ed25519_key.pub", self.keys / "host.pub")
        shutil.copy(str(shutil.which("docker-init")), self.bare / "usr/local/bin/init")  # what reaps its processes

    def _install_docker(self) -> None:
        """Build the layer that Docker's packages add, without starting it."""
        self.docker.mkdir()
        work, merged = self._folder / "work", self._folder / "merged"
        work.mkdir()
        merged.mkdir()
        options = f"lowerdir={self.bare},upperdir={self.docker},workdir={work}"
        refuse = r"printf '#!/bin/sh\nexit 101\n' > usr/sbin/policy-rc.d; chmod +x usr/sbin/policy-rc.d"
        script = (
            f"mount -t overlay overlay -o {options} {merged} && cd {merged} && mount -t proc proc proc && {refuse} && "
            "chroot . sh -c 'dpkg --install /srv/packages/*.deb' && rm usr/sbin/policy-rc.d && umount proc"
        )
        execute(*_APART, "sh", "-c", script, timeout=300)
        shutil.rmtree(work)
        merged.rmdir()

    def _pack_images(self) -> None:
        """Pack what images of Python and of a registry are made of, on the machine itself."""
        images, registry = self.bare / "srv/images", self._folder / "registry"
        images.mkdir()
        execute("tar", "--create", "--file", images / "python.tar", "--directory", self.bare, "--exclude=./srv", ".")
        program = str(shutil.which("docker-registry"))
        needed = [word for word in execute("ldd", program).split() if word.startswith("/")]
        for name in (program, *needed):
            target = registry / name.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, target)
        (registry / "config.yml").write_text(_REGISTRY)
        execute("tar", "--create", "--file", images / "registry.tar", "--directory", registry, ".")
        shutil.rmtree(registry)


def provide(folder: Path, run: Path) -> Trees:
    """
    Return the trees, made if they are not there: the first time takes a minute or two.

    Args:
        folder: where they are kept.
        run: where a file may be put meanwhile.

    Raises:
        ClusterError: this is no Debian, or its archive can't be reached.
    """
    packages.provide(run, _COMMANDS | {"ssh-keygen": "openssh-client"})
    trees = Trees(folder)
    if not trees.is_current():
        trees.make()
    return trees


def required() -> list[str]:
    """Return what aioparcs requires, without its extras."""
    return [line for line in requires("aioparcs") or () if "extra ==" not in line]


def _recipe() -> str:
    return hashlib.sha256(Path(__file__).read_bytes() + repr(required()).encode()).hexdigest()


def _entry(package: Path) -> str:
    """Return a package's paragraph of an archive's index."""
    control = execute("dpkg-deb", "--field", package)
    data = package.read_bytes()
    fields: Sequence[str] = (
        f"Filename: ./{package.name}", f"Size: {len(data)}", f"SHA256: {hashlib.sha256(data).hexdigest()}"
    )  # fmt: skip
    return control + "\n".join(fields) + "\n"
