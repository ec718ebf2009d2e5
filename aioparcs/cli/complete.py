"""The shell's completion of module names."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from aioparcs.cli.modules import roots, runners
from aioparcs.modules import find_modules

__all__ = ["modules_there", "runners_there"]


def modules_there(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the modules whose names begin so, else a request for folders."""
    return _items(list(_there(context, incomplete)), incomplete)


def runners_there(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the modules whose names begin so and that can be run, else a request for folders."""
    return _items(runners(_there(context, incomplete)), incomplete)


def _there(context: click.Context, incomplete: str) -> dict[str, Path]:
    folder = os.path.dirname(incomplete)
    if folder:
        return {os.path.join(folder, name): path for name, path in find_modules([Path(folder)]).items()}
    return find_modules(roots(context.params.get("modules")))


def _items(names: list[str], incomplete: str) -> list[CompletionItem]:
    items = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return items or [CompletionItem(incomplete, type="dir")]
