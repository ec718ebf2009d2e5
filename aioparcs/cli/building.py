"""The work of ``aioparcs build``: images one after another, with one line for the state of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from aiodocker import Docker
from rich.console import Console
from rich.markup import escape

from aioparcs.build import BuiltImage, build, build_base
from aioparcs.build.transcript import Says
from aioparcs.display import sanitize
from aioparcs.modules.images import check_request
from aioparcs.swarm import open_docker

__all__ = ["BuildOptions", "build_all", "build_base_image"]


class BuildOptions(NamedTuple):
    """
    The options of the command line, see `build`.

    Attributes:
        registry: where images go, or None.
        base: the image that they are built on, or None.
        push: whether they are pushed.
        wheels: the folder of wheels, or None.
        tag: one more tag, or None.
        verbose: whether all output is shown.
    """

    registry: str | None
    base: str | None
    push: bool
    wheels: Path | None
    tag: str | None
    verbose: bool


def build_all(folders: Sequence[Path], wishes: BuildOptions) -> Iterator[BuiltImage]:
    """
    Build modules one after another, on the leader that the environment names.

    Raises:
        BuildError, ClusterError, SettingError: the first one that fails ends it.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for folder in folders:  # a mistake in the last one is reported before the first is built
        check_request(folder.name, registry=wishes.registry, push=wishes.push, tag=wishes.tag)
    with asyncio.Runner() as runner:
        for folder in folders:

            async def module(docker: Docker, line: Says, state: Says, folder: Path = folder) -> BuiltImage:
                return await build(
                    docker,
                    folder,
                    registry=wishes.registry,
                    base=wishes.base,
                    push=wishes.push,
                    wheels=wishes.wheels,
                    tag=wishes.tag,
                    on_line=line,
                    on_state=state,
                )

            yield runner.run(_shown(folder.name, module, wishes.verbose, console))


def build_base_image(python: str, registry: str | None, wheels: Path | None, *, verbose: bool) -> BuiltImage:
    """
    Build the image that modules are built on, see `build_base`.

    Raises:
        BuildError, ClusterError, SettingError: it could not be built.
    """

    async def base(docker: Docker, line: Says, state: Says) -> BuiltImage:
        return await build_base(docker, registry=registry, python=python, wheels=wheels, on_line=line, on_state=state)

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    return asyncio.run(_shown("base image", base, verbose, console))


async def _shown(
    name: str, work: Callable[[Docker, Says, Says], Awaitable[BuiltImage]], verbose: bool, console: Console
) -> BuiltImage:
    """Build an image on the leader, and show its output, or its state."""

    def line(text: str) -> None:
        if verbose:
            console.print(f"{name} | {sanitize(text, color=False)}", markup=False)

    async with open_docker() as docker:
        with _state(name, console) as state:
            return await work(docker, line, state)


@contextmanager
def _state(module: str, console: Console) -> Iterator[Says]:
    """Show the state in one line at the foot of a terminal; elsewhere show nothing until there is a result."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda text: None
        return
    with console.status(module) as status:
        # Cut to one line: a step is as long as its author made it.
        width = max(20, console.width - len(module) - 5)
        yield lambda text: status.update(f"[bold]{module}[/] {escape(sanitize(text, color=False)[:width])}")
