"""The parts that all commands share: their errors become one line and an exit code."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import MappingProxyType
from typing import Any, TypeVar

import click

from aioparcs.cli.execute import EX_INTERRUPTED, terminable
from aioparcs.cli.modules import Usage
from aioparcs.errors import ParcsError, SettingError

__all__ = ["EXIT_CODES", "Commands", "ProgramCommand", "reported", "run_command"]

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


class Commands(click.Group):
    """
    Loads a command when it is used, and prints ``error: ...`` as a runner does, where click would print ``Error: ...``.

    Attributes:
        modules: the modules of commands that are not added, by the names of both.
    """

    modules: Mapping[str, str] = MappingProxyType({})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted([*super().list_commands(ctx), *self.modules])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; None if there is none of that name."""
        if cmd_name not in self.modules:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(self.modules[cmd_name]), cmd_name)
        return command

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command line, and end the process."""
        options["standalone_mode"] = False  # so that errors come here
        try:
            sys.exit(super().main(*args, **options))
        except click.ClickException as error:
            text = io.StringIO()
            error.show(text)
            click.echo(text.getvalue().replace("Error: ", "error: ", 1), err=True, nl=False)
            sys.exit(error.exit_code)
        except click.Abort:
            sys.exit(1)


class ProgramCommand(click.Command):
    """A command that runs a program, which gets the arguments after ``--``."""

    _KEY = "aioparcs.arguments"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command's own arguments; keep the program's as they are."""
        end = args.index("--") if "--" in args else len(args)
        ctx.meta[self._KEY] = tuple(args[end + 1 :])
        return super().parse_args(ctx, args[:end])

    @classmethod
    def program_arguments(cls, ctx: click.Context) -> tuple[str, ...]:
        """Return the arguments of the program."""
        arguments: tuple[str, ...] = ctx.meta[cls._KEY]
        return arguments


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
