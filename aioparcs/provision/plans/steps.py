"""The steps that make a cluster: records, each with the sentence that says what it does."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import NamedTuple

__all__ = [
    "HERE",
    "AddToGroup",
    "BuildImage",
    "CreateContext",
    "CreateNetwork",
    "CreateRegistry",
    "InitSwarm",
    "InstallDocker",
    "JoinSwarm",
    "Label",
    "LogIn",
    "Mark",
    "Promote",
    "StartDocker",
    "Step",
    "Trust",
]

HERE = "this machine"
"""The host of steps that change what the user has here."""


class InstallDocker(NamedTuple):
    """
    Install Docker from the packages of the host's system.

    Attributes:
        host: where.
        manager: ``apt-get`` or ``dnf``.
        package: the package.
        client: the package of Docker's client, where the first one leaves it out.
    """

    host: str
    manager: str
    package: str
    client: str

    def __str__(self) -> str:
        return f"install Docker: {self.manager} install {self.package}"


class StartDocker(NamedTuple):
    """
    Start Docker, now and whenever the host starts.

    Attributes:
        host: where.
    """

    host: str

    def __str__(self) -> str:
        return "start Docker, also whenever the host starts"


class AddToGroup(NamedTuple):
    """
    Let a user use Docker, as aioparcs does on managers over ssh.

    Attributes:
        host: where.
        user: who logs in there.
    """

    host: str
    user: str

    def __str__(self) -> str:
        return f"let {self.user} use Docker: usermod --append --groups docker {self.user}"


class InitSwarm(NamedTuple):
    """
    Make the Swarm.

    Attributes:
        host: its first manager.
        address: the address at which the others reach it.
    """

    host: str
    address: IPv4Address

    def __str__(self) -> str:
        return f"make the Swarm, at {self.address}"


class JoinSwarm(NamedTuple):
    """
    Join the Swarm.

    Attributes:
        host: which host.
        address: the address at which the others reach it.
        via: the manager that it asks.
        manager: whether it becomes a manager.
    """

    host: str
    address: IPv4Address
    via: str
    manager: bool

    def __str__(self) -> str:
        return f"join the Swarm of {self.via} as a {'manager' if self.manager else 'worker'}, at {self.address}"


class Promote(NamedTuple):
    """
    Make a worker a manager.

    Attributes:
        host: which host.
        via: a manager.
    """

    host: str
    via: str

    def __str__(self) -> str:
        return "become a manager"


class Mark(NamedTuple):
    """
    Note on the host and in the Swarm that aioparcs has put it there, and how to log in.

    Attributes:
        host: which host.
        via: a manager.
    """

    host: str
    via: str

    def __str__(self) -> str:
        return "note that aioparcs has put it into the Swarm"


class Label(NamedTuple):
    """
    Give a node labels, which the constraints of jobs can name.

    Attributes:
        host: which host.
        via: a manager.
        labels: the labels that it lacks, with their values.
    """

    host: str
    via: str
    labels: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"label its node {', '.join(f'{name}={value}' for name, value in self.labels)}"


class CreateNetwork(NamedTuple):
    """
    Create the overlay network of the jobs.

    Attributes:
        host: a manager.
        name: the network.
    """

    host: str
    name: str

    def __str__(self) -> str:
        return f"create the network {self.name} of the jobs"


class CreateRegistry(NamedTuple):
    """
    Run a registry as a Swarm service, with a certificate and a password of its own.

    Attributes:
        host: the manager that it runs on.
        address: its address, ``HOST:PORT``.
    """

    host: str
    address: str

    def __str__(self) -> str:
        return f"run a registry, {self.address}, with TLS and a password"


class Trust(NamedTuple):
    """
    Let a host's Docker know the certificate of the cluster's registry.

    Attributes:
        host: where.
        address: the registry.
        via: the manager that has the certificate.
    """

    host: str
    address: str
    via: str

    def __str__(self) -> str:
        return f"trust the certificate of {self.address}"


class LogIn(NamedTuple):
    """
    Keep the password of the cluster's registry in Docker's configuration here, as ``docker login`` does.

    Attributes:
        host: `HERE`.
        address: the registry.
        via: the manager that has the password.
    """

    host: str
    address: str
    via: str

    def __str__(self) -> str:
        return f"log in to {self.address}"


class BuildImage(NamedTuple):
    """
    Build the base image of the modules, and push it.

    Attributes:
        host: the manager that builds it.
        registry: where it goes.
        python: the image with Python that it is built on.
    """

    host: str
    registry: str
    python: str

    def __str__(self) -> str:
        return f"build the base image on {self.python}, and push it to {self.registry}"


class CreateContext(NamedTuple):
    """
    Create a Docker context, which names the leader to Docker's commands and to aioparcs.

    Attributes:
        host: `HERE`.
        name: the context.
        url: the leader.
        via: the same, by its name.
    """

    host: str
    name: str
    url: str
    via: str

    def __str__(self) -> str:
        return f"create the Docker context {self.name}, {self.url}"


Step = (
    InstallDocker
    | StartDocker
    | AddToGroup
    | InitSwarm
    | JoinSwarm
    | Label
    | Promote
    | Mark
    | CreateNetwork
    | CreateRegistry
    | Trust
    | LogIn
    | BuildImage
    | CreateContext
)
