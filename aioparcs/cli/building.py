"""The work of ``aioparcs build``: images one after another, with one line for the state of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

from aiodocker import Docker
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from aioparcs.build import BuiltImage, build, build_base
from aioparcs.build.transcript import BuildOutput
from aioparcs.display import sanitize
from aioparcs.modules.images import check_request
from aioparcs.swarm import open_docker

__all__ = ["BuildOptions", "build_all", "build_base_images"]


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


def build_all(folders: Sequence[Path], options: BuildOptions) -> Iterator[BuiltImage]:
    """
    Build modules one after another, on the leader that the environment names.

    Raises:
        BuildError, ClusterError, SettingError: the first one that fails ends it.
    """
    for folder in folders:  # a mistake in the last one is reported before the first is built
        check_request(folder.name, registry=options.registry, push=options.push, tag=options.tag)
    with asyncio.Runner() as runner:
        for folder in folders:
            yield runner.run(_build(folder, options))


async def _build(folder: Path, options: BuildOptions) -> BuiltImage:
    async with _shown_build(folder.name, verbose=options.verbose) as (docker, output):
        return await build(
            docker,
            folder,
            registry=options.registry,
            base=options.base,
            push=options.push,
            wheels=options.wheels,
            tag=options.tag,
            output=output,
        )


def build_base_images(
    python: str, registry: str | None, wheels: Path | None, *, verbose: bool
) -> tuple[BuiltImage, BuiltImage]:
    """
    Build the images that programs and services are built on, see `build_base`.

    Raises:
        BuildError, ClusterError, SettingError: it could not be built.
    """

    async def run() -> tuple[BuiltImage, BuiltImage]:
        async with _shown_build("base image", verbose=verbose) as (docker, output):
            build = partial(build_base, docker, registry=registry, python=python, wheels=wheels, output=output)
            return await build(), await build(service=True)

    return asyncio.run(run())


@asynccontextmanager
async def _shown_build(name: str, *, verbose: bool) -> AsyncIterator[tuple[Docker, BuildOutput]]:
    """Open the leader's Docker for a build, and show its lines if that is wanted, and its state on a terminal."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    is_terminal = console.is_terminal and not console.is_dumb_terminal
    async with open_docker() as docker:
        with console.status(name) if is_terminal else nullcontext() as status:
            yield docker, _ConsoleOutput(name, console, status, verbose=verbose)


class _ConsoleOutput(BuildOutput):
    """The output on a console, with the state in one line at the foot of a terminal."""

    def __init__(self, name: str, console: Console, status: Status | None, *, verbose: bool) -> None:
        self._name = name
        self._console = console
        self._status = status
        self._verbose = verbose

    def line(self, text: str) -> None:
        if self._verbose:
            self._console.print(f"{self._name} | {sanitize(text, color=False)}", markup=False)

    def state(self, text: str) -> None:
        if self._status is not None:
            # Cut to one line: a step is as long as its author made it.
            width = max(20, self._console.width - len(self._name) - 5)
            self._status.update(f"[bold]{self._name}[/] {escape(sanitize(text, color=False)[:width])}")
