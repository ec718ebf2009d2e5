"""The files of a bare machine: Debian with an sshd, a user who may use sudo, and Docker's packages to install."""

import hashlib
import shutil
from collections.abc import Sequence
from importlib.metadata import requires
from pathlib import Path

from tests.cluster import debian, packages
from tests.cluster.command import ENVIRONMENT, execute
from tests.cluster.image import download

__all__ = ["USER", "Trees", "provide"]

USER = "ada"
"""Who logs in to the machines."""

_INCLUDED = ("openssh-server", "sudo", "iproute2", "iptables", "ca-certificates", "kmod")
_COMMANDS = {
    "debootstrap": "debootstrap",
    "dockerd": "docker.io",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "docker-registry": "docker-registry",
}
_ENVIRONMENT = ENVIRONMENT | {"DEBIAN_FRONTEND": "noninteractive"}
_REGISTRY = "version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/registry}}\nhttp: {addr: ':5000'}\n"
# Packages are installed without starting what they bring.
_INSTALL = r"""mount -t proc proc proc && printf '#!/bin/sh\nexit 101\n' > usr/sbin/policy-rc.d &&
chmod +x usr/sbin/policy-rc.d && chroot . sh -c 'dpkg --install {packages}/*.deb' &&
rm usr/sbin/policy-rc.d && umount proc"""


class Trees:
    """
    Trees of files, which nothing writes to.

    Args:
        folder: where they are.
        cache: where the files of a minimal Debian are kept.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self._folder = folder
        self._cache = cache
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
        self._make_bare()
        self._add_user()
        self._install_docker()
        download(self.wheels, *required())
        (self._folder / "recipe").write_text(_recipe())

    def _make_bare(self) -> None:
        """Build a machine without Docker, which has Docker's packages and images in archives of its own."""
        archive = debian.provide(self._cache)
        self.bare.mkdir()
        execute("tar", "--extract", "--file", archive, "--directory", self.bare, timeout=300)
        self._download("srv/more", *_INCLUDED)
        execute(*debian.APART, "sh", "-c", f"cd {self.bare} && {_INSTALL.format(packages='/srv/more')}",
                timeout=300, env=_ENVIRONMENT)  # fmt: skip
        shutil.rmtree(self.bare / "srv/more")
        debian.prune(self.bare)
        packages = self._download("srv/packages", "docker.io")
        (packages / "Packages").write_text("\n".join(map(_entry, sorted(packages.glob("*.deb")))))
        (self.bare / "etc/apt/apt.conf.d/keep").write_text('DPkg::Options { "--force-confold"; };\n')
        (self.bare / "etc/apt/sources.list").write_text("deb [trusted=yes] file:/srv/packages ./\n")
        self._pack_images(archive)
        shutil.rmtree(self._folder / "apt")

    def _download(self, name: str, *wanted: str) -> Path:
        """Download packages, and those that they need, into a folder of the machine; return it."""
        state, archive = self._folder / "apt", self.bare / name
        for path in (state / "lists/partial", state / "cache", archive / "partial"):
            path.mkdir(parents=True, exist_ok=True)
        sources = state / "sources.list"
        sources.write_text(f"deb [trusted=yes] {debian.MIRROR} {debian.SUITE} main\n")
        given = {
            "Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "/dev/null", "Dir::State": state,
            "Dir::State::status": self.bare / "var/lib/dpkg/status", "Dir::Cache": state / "cache",
            "Dir::Cache::archives": archive, "APT::Keep-Downloaded-Packages": "true", "Debug::NoLocking": "1",
        }  # fmt: skip
        options = [word for name, value in given.items() for word in ("-o", f"{name}={value}")]
        if not any((state / "lists").glob("*Packages*")):
            execute("apt-get", *options, "update", "-qq", timeout=300)
        execute("apt-get", *options, "install", "-qq", "-y", "--no-install-recommends", "--download-only", *wanted,
                timeout=300)  # fmt: skip
        return archive

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
        mount = f"mount -t overlay overlay -o {options} {merged} && cd {merged}"
        install = _INSTALL.format(packages="/srv/packages")
        execute(*debian.APART, "sh", "-c", f"{mount} && {install}", timeout=300, env=_ENVIRONMENT)
        shutil.rmtree(work)
        merged.rmdir()

    def _pack_images(self, python: Path) -> None:
        """Pack what images of Python and of a registry are made of, on the machine itself."""
        images, registry = self.bare / "srv/images", self._folder / "registry"
        images.mkdir()
        shutil.copy(python, images / "python.tar")
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
    trees = Trees(folder, folder.parent)
    if not trees.is_current():
        trees.make()
    return trees


def required() -> list[str]:
    """Return what aioparcs requires, without its extras."""
    return [line for line in requires("aioparcs") or () if "extra ==" not in line]


def _recipe() -> str:
    return hashlib.sha256(Path(__file__).read_bytes() + f"{debian.recipe()} {required()}".encode()).hexdigest()


def _entry(package: Path) -> str:
    """Return a package's paragraph of an archive's index."""
    control = execute("dpkg-deb", "--field", package)
    data = package.read_bytes()
    fields: Sequence[str] = (
        f"Filename: ./{package.name}", f"Size: {len(data)}", f"SHA256: {hashlib.sha256(data).hexdigest()}"
    )  # fmt: skip
    return control + "\n".join(fields) + "\n"
