"""What ``aioparcs build`` does: images one after another, with one line that tells how far each is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape

from aioparcs.build import BuiltImage, build
from aioparcs.build.transcript import Says
from aioparcs.display import harmless
from aioparcs.swarm import open_docker
from aioparcs.swarm.names import check_request

__all__ = ["Wishes", "build_all"]


class Wishes(NamedTuple):
    """
    What the command line asks for, see `build`.

    Attributes:
        registry: where images go, or None.
        base: what they are built on, or None.
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


def build_all(folders: Sequence[Path], wishes: Wishes) -> Iterator[BuiltImage]:
    """
    Build modules one after another, on the leader that the environment names.

    Raises:
        BuildError, ClusterError, SettingError: the first one that fails ends it.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for folder in folders:  # the last one's mistake is told before the first is built
        check_request(folder.name, registry=wishes.registry, push=wishes.push, tag=wishes.tag)
    with asyncio.Runner() as runner:
        for folder in folders:
            yield runner.run(_build(folder, wishes, console))


async def _build(folder: Path, wishes: Wishes, console: Console) -> BuiltImage:
    def line(text: str) -> None:
        if wishes.verbose:
            console.print(f"{folder.name} | {harmless(text, color=False)}", markup=False)

    async with open_docker() as docker:
        with _state(folder.name, console) as state:
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


@contextmanager
def _state(module: str, console: Console) -> Iterator[Says]:
    """Keep one line at the foot of a terminal; elsewhere nothing is said until there is a result."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda text: None
        return
    with console.status(module) as status:
        # Cut to one line: a step is as long as its author made it.
        width = max(20, console.width - len(module) - 5)
        yield lambda text: status.update(f"[bold]{module}[/] {escape(harmless(text, color=False)[:width])}")
