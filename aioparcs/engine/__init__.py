"""
The interface of an engine, which runs launchers, and the records that cross it.

The runner knows of engines only what stands here. An engine makes launchers exist; they dial in by themselves,
and the runner asks them for workers over their control connections.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from aioparcs.address import Address
from aioparcs.engine.numbers import memory_size, optional_time_limit, time_limit, whole_number
from aioparcs.engine.options import WorkerSpec
from aioparcs.events import EventBus
from aioparcs.settings import Settings
from aioparcs.transport import Listener

__all__ = [
    "Engine",
    "Job",
    "LauncherState",
    "Placement",
    "WorkerGroup",
    "WorkerSpec",
    "memory_size",
    "optional_time_limit",
    "time_limit",
    "whole_number",
]


class Placement(NamedTuple):
    """
    Some workers of a group in one place.

    Attributes:
        launcher: the slot of the launcher that starts them, or of the process itself for the original wire.
        first: the number of the first of them.
        size: how many.
        limits: what the launcher limits each of them to, see `WorkerSpec.limits`.
    """

    launcher: int
    first: int
    size: int
    limits: Mapping[str, float | int] = {}


class WorkerGroup(NamedTuple):
    """
    The workers of one request.

    Attributes:
        spec: what they are.
        first: the number of the first of them; numbers are the job's.
        size: how many.
        placements: where they are.
        needs_files: whether their launchers, which are this group's alone, are sent the files of the specification;
            False if they find them where they run.
    """

    spec: WorkerSpec
    first: int
    size: int
    placements: tuple[Placement, ...]
    needs_files: bool = False


class LauncherState(NamedTuple):
    """
    The state of a launcher.

    Attributes:
        launcher: its slot.
        state: ``placed``, ``running``, ``failed`` (it never got to run) or ``gone``.
        reason: what happened, or what it waits for, for people.
        exitcode: as ``subprocess`` gives it, None if unknown.
        node: the name of the machine that it is on, "" if there is only one or it isn't known yet.
    """

    launcher: int
    state: str
    reason: str = ""
    exitcode: int | None = None
    node: str = ""


class Job(NamedTuple):
    """
    One run of a runner, as its engine sees it.

    Attributes:
        id: its name.
        token: the secret that launchers and workers prove to know.
        address: where they dial.
        settings: limits and deadlines.
        events: the bus for what happens.
        folders: those that hold the modules.
        secrets: what the user's programs may read by name, see `aioparcs.secret`.
    """

    id: str
    token: bytes
    address: Address
    settings: Settings
    events: EventBus
    folders: tuple[Path, ...] = ()
    secrets: Mapping[str, bytes] = {}


class Engine(Protocol):
    """The interface between the runner and the place where work runs."""

    async def listen(self, on_connect: Callable[[Any, Any], Awaitable[None]], *, tls: bool) -> Listener:
        """Listen where this engine's workers can reach the runner."""

    async def open(self, job: Job) -> None:
        """Begin a job."""

    async def default_size(self, spec: WorkerSpec) -> int:
        """
        Return how many workers a pool has whose user has not chosen: as many as there are CPUs for.

        Raises:
            StartError: that can't be known.
        """

    async def start(self, spec: WorkerSpec, first: int, count: int) -> WorkerGroup:
        """
        Start ``count`` workers, numbered from ``first``; returns before they run.

        Raises:
            StartError: it is certain that they can't run: no such module, a limit that can't be kept.
        """

    def states(self, group: WorkerGroup) -> AsyncIterator[LauncherState]:
        """Yield what becomes of the group's launchers; ends when all of them are gone."""

    async def address(self, launcher: int) -> Address:
        """
        Wait until a service of the original PARCS has an address, and return it.

        Raises:
            StartError: the runner can't dial it.
        """

    def poll_now(self) -> None:
        """Check the launchers at once: the connection of one has ended, and `states` should say why."""

    async def stop(self, group: WorkerGroup) -> None:
        """End what the group's launchers still run, at once."""

    async def release(self, group: WorkerGroup) -> None:
        """Release what the group holds of its own: its workers have ended, and no launcher gets another request."""

    async def post_mortem(self, launcher: int) -> tuple[str, ...]:
        """Return the last lines that a launcher itself printed."""

    async def aclose(self) -> None:
        """Remove everything that the job has left."""
