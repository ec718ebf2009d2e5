"""Options that several commands about clusters have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["accept_new_option", "inventory_option"]

Command = TypeVar("Command", bound=Callable[..., Any])


def inventory_option(text: str) -> Callable[[Command], Command]:
    """Return a decorator that adds ``--inventory``, with its help."""
    kind = click.Path(exists=True, dir_okay=False, path_type=Path)
    return click.option("--inventory", metavar="FILE", type=kind, help=text)


def accept_new_option(command: Command) -> Command:
    """Add ``--accept-new``."""
    text = "Accept the host keys of hosts that known_hosts does not have, and record them there, also with --plan."
    return click.option("--accept-new", is_flag=True, help=text)(command)
