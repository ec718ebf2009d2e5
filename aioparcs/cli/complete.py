"""What the shell's completion offers."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from aioparcs.cli.modules import roots
from aioparcs.local import find_modules

__all__ = ["modules_there"]


def modules_there(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the modules whose names begin so, else folders."""
    folder = os.path.dirname(incomplete)
    if folder:
        names = [os.path.join(folder, name) for name in find_modules([Path(folder)])]
    else:
        names = list(find_modules(roots(context.params.get("modules"))))
    items = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return items or [CompletionItem(incomplete, type="dir")]
