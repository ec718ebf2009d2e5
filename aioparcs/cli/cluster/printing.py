"""The lines of the commands about clusters: steps, and what is in their way."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import click
from rich.console import Console

if TYPE_CHECKING:
    from aioparcs.provision.plans.checks import Problem
    from aioparcs.provision.ssh import HostError

__all__ = ["need_asyncssh", "print_failures", "print_line", "print_problems", "status"]

_COLORS = {"ok": "green", "done": "green", "plan": "cyan", "warning": "yellow", "failed": "red"}


def print_problems(problems: Sequence[Problem]) -> None:
    """Print each problem, and what to do about it; one that several hosts have, once."""
    hosts: dict[tuple[str, str, bool], list[str]] = {}
    for problem in problems:
        hosts.setdefault((problem.text, problem.advice, problem.fatal), []).append(problem.host)
    for (text, advice, fatal), names in hosts.items():
        print_line("failed" if fatal else "warning", f"{', '.join(names)}: {text}")
        click.echo(f"{'':8}  {advice}")


def print_failures(failed: Sequence[HostError]) -> bool:
    """Print the errors of hosts, and return whether there are any."""
    from aioparcs.provision.plans.checks import Problem

    advice = "then run this again: it goes on from there"
    print_problems([Problem(error.url, error.reason, f"{error.advice or 'mend it'}; {advice}") for error in failed])
    return bool(failed)


def print_line(state: str, text: str) -> None:
    """Print a line that begins with a state."""
    click.echo(f"{click.style(f'{state:8}', _COLORS[state])}{text}")


def status(text: str) -> AbstractContextManager[object]:
    """Return what shows that the command is at work, on a terminal that has both streams: it takes both over."""
    console = Console(stderr=True, highlight=False)
    is_terminal = console.is_terminal and not console.is_dumb_terminal and sys.stdout.isatty()
    return console.status(text) if is_terminal else nullcontext()


def need_asyncssh() -> None:
    """Refuse to go on without the extra that logs in to hosts."""
    if not importlib.util.find_spec("asyncssh"):
        raise click.ClickException("this command needs asyncssh: pip install 'aioparcs[ssh]'")
