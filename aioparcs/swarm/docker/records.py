"""The records of Docker's Engine API: what is written to it, and as much of its answers as is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

__all__ = [
    "ContainerSpec",
    "Mount",
    "Record",
    "ServiceSpec",
    "SwarmNetwork",
    "SwarmNode",
    "SwarmSecret",
    "SwarmService",
    "SwarmTask",
    "TaskTemplate",
]

Record = Mapping[str, Any]  # any other
Mount = Record  # users may pass whatever Docker knows

# Services


class ContainerSpec(TypedDict):
    """The specification of a service's containers."""

    Image: str
    Labels: NotRequired[Mapping[str, str]]
    Command: NotRequired[Sequence[str]]
    Env: NotRequired[Sequence[str]]
    User: NotRequired[str]
    Init: bool
    StopGracePeriod: int
    Healthcheck: Record
    Mounts: NotRequired[Sequence[Mount]]
    Secrets: NotRequired[Sequence[Record]]
    CapabilityAdd: NotRequired[Sequence[str]]
    CapabilityDrop: NotRequired[Sequence[str]]
    Privileges: NotRequired[Record]
    ReadOnly: NotRequired[bool]


class TaskTemplate(TypedDict):
    """The specification of a service's tasks; those of other programs may be of no container."""

    ContainerSpec: NotRequired[ContainerSpec]
    Networks: Sequence[Record]
    RestartPolicy: Record
    Placement: NotRequired[Record]
    Resources: NotRequired[Record]
    LogDriver: NotRequired[Record]


class ServiceSpec(TypedDict):
    """The specification of a service, the body of ``POST /services/create``."""

    Name: str
    Labels: Mapping[str, str]
    Mode: Record
    EndpointSpec: Record
    TaskTemplate: TaskTemplate


class SwarmService(TypedDict):
    """A service of the Swarm."""

    ID: str
    CreatedAt: str
    Spec: ServiceSpec


# Secrets


class SecretSpec(TypedDict):
    """The specification of a secret."""

    Name: str
    Labels: Mapping[str, str]


class SwarmSecret(TypedDict):
    """A secret of the Swarm."""

    ID: str
    CreatedAt: str
    Spec: SecretSpec


# Tasks


class ContainerStatus(TypedDict):
    """The state of a task's container."""

    ContainerID: NotRequired[str]
    ExitCode: NotRequired[int]


class TaskStatus(TypedDict):
    """The state of a task."""

    State: str
    Timestamp: str
    Err: NotRequired[str]
    ContainerStatus: NotRequired[ContainerStatus | None]


class NetworkAttachment(TypedDict):
    """The addresses of a task in one network."""

    Network: Record
    Addresses: Sequence[str]


class SwarmTask(TypedDict):
    """A task of the Swarm, one container of a service; not a worker's `Task`."""

    ID: str
    ServiceID: str
    CreatedAt: str
    DesiredState: str
    Spec: TaskTemplate
    Status: TaskStatus
    NodeID: NotRequired[str]
    Slot: NotRequired[int]
    NetworksAttachments: NotRequired[Sequence[NetworkAttachment] | None]


# Nodes and networks


class NodeSpec(TypedDict):
    """The settings of a node."""

    Availability: str


class NodeStatus(TypedDict):
    """The state of a node, as the managers see it."""

    State: str
    Addr: NotRequired[str]


class NodeResources(TypedDict):
    """The resources of a node."""

    NanoCPUs: int
    MemoryBytes: int
    GenericResources: NotRequired[Sequence[Mapping[str, Record]] | None]


class NodeDescription(TypedDict):
    """The description of a node by itself, which one that is just joining has not given yet."""

    Hostname: NotRequired[str]
    Resources: NodeResources


class SwarmNode(TypedDict):
    """A node of the Swarm."""

    ID: str
    Spec: NodeSpec
    Status: NodeStatus
    Description: NotRequired[NodeDescription]


class SwarmNetwork(TypedDict):
    """A network that the leader knows."""

    Id: str
    Name: str
    Driver: str
    Scope: str
    Attachable: NotRequired[bool]
    IPAM: NotRequired[Record | None]
