"""The group of all commands, which prints errors in the format of all of aioparcs."""

from __future__ import annotations

import io
import sys
from typing import Any

import click

__all__ = ["Commands"]


class Commands(click.Group):
    """Prints ``error: ...`` as a runner does, where click by itself would print ``Error: ...``."""

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
