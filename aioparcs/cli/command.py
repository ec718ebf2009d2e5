"""Commands that ask the cluster: their errors become one line and an exit code."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from aioparcs.cli.execute import EX_INTERRUPTED, terminable
from aioparcs.cli.modules import Usage
from aioparcs.errors import ParcsError, SettingError

__all__ = ["EXIT_CODES", "reported", "run_command"]

T = TypeVar("T")

EXIT_CODES = """
\b
They talk to the Docker of the Swarm's leader: LEADER_URL names it, or else DOCKER_HOST or Docker's context.
\b
Exit codes:
    0  done
    1  the cluster can't be reached, or refuses
    2  the command line or a setting is wrong, or there is no such job
  130  ended by Ctrl-C
  143  ended by SIGTERM
"""


def run_command(question: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end, and return what it returns."""
    with reported():
        return asyncio.run(question)


@contextmanager
def reported() -> Iterator[None]:
    """Turn errors and signals in the block into one line and an exit code."""
    try:
        with terminable():
            yield
    except SettingError as error:
        raise Usage(str(error)) from None
    except ParcsError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        sys.exit(EX_INTERRUPTED)
