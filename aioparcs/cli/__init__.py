"""The command line: ``aioparcs run``, ``aioparcs build``, ``aioparcs new``, ``aioparcs completion``."""

from __future__ import annotations

import json
import os
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import get_completion_class

from aioparcs import __version__
from aioparcs.cli.command import Commands, ProgramCommand
from aioparcs.cli.environment import enter, interpreter, needs_another
from aioparcs.cli.execute import EX_INTERRUPTED, execute, terminable
from aioparcs.cli.modules import Usage, find, roots, runners_there
from aioparcs.cli.transfer.runner import check_there, run_with_files
from aioparcs.credentials import check_name, give_secrets, read_secrets
from aioparcs.display import Detail, open_display
from aioparcs.errors import ParcsError, SettingError, StartError, quote_lines
from aioparcs.files.names import FileNames
from aioparcs.settings import misspelt

if TYPE_CHECKING:
    from aioparcs.events.log import EventLog

__all__ = ["main"]

_NAME = "aioparcs"
_COMPLETE = "_AIOPARCS_COMPLETE"  # the variable that click looks for

# A line with \b alone keeps click from filling the paragraph that follows.
_EXIT_CODES = """
\b
Exit codes:
    0  the runner ended without an error
    1  the runner raised an exception, its own or a worker's
    2  the command line, a setting or a module's name is wrong, or its main.py runs nothing
  130  ended by Ctrl-C
  143  ended by SIGTERM
Any other code is the runner's own, from sys.exit.
"""
_EXAMPLES = """
\b
Examples:
  aioparcs demo                        see 8 workers at work
  aioparcs new hello                   make a project that runs
  aioparcs run hello                   run it on this machine
  aioparcs run runner --modules examples -e N=111111111 -e P=8
  aioparcs build factor runner --push  make images for a Docker Swarm
  aioparcs ps                          show the jobs on a Docker Swarm
  eval "$(aioparcs completion bash)"   complete with TAB in this shell
"""
_RUN_EXAMPLES = """
\b
Examples:
  aioparcs run hello
  aioparcs run runner --modules examples -e N=111111111 -e P=8
  aioparcs run -q hello > result.txt
  aioparcs run hello --report run.html
  aioparcs run hello --secret password=password.txt
  aioparcs run hello --on swarm
  aioparcs run hello --on swarm --send data --fetch out
  aioparcs run hello --on swarm --fetch out --detach    ... and later: aioparcs fetch JOB
  aioparcs run hello -- --verbose x    what follows -- is the program's: sys.argv
"""
_SHELLS = """
\b
Put one of these lines into the file named beside it:
  eval "$(aioparcs completion bash)"         ~/.bashrc
  eval "$(aioparcs completion zsh)"          ~/.zshrc
  aioparcs completion fish | source          ~/.config/fish/config.fish
"""


@click.group(cls=Commands, epilog=_EXAMPLES + _EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=_NAME, message="%(prog)s %(version)s")
def main() -> None:
    """Run parallel programs: a runner, and workers with a channel to it."""


main.modules = {
    "build": "aioparcs.cli.build",
    "image": "aioparcs.cli.build",
    "ps": "aioparcs.cli.jobs",
    "logs": "aioparcs.cli.jobs",
    "demo": "aioparcs.cli.demo",
    "fetch": "aioparcs.cli.fetch",
    "rm": "aioparcs.cli.jobs",
    "doctor": "aioparcs.cli.doctor",
    "cluster": "aioparcs.cli.cluster",
    "explain": "aioparcs.cli.explain",
    "journal": "aioparcs.cli.journal",
    "new": "aioparcs.cli.new",
    "report": "aioparcs.cli.report",
    "diff": "aioparcs.cli.diff",
    "ui": "aioparcs.cli.ui",
    "top": "aioparcs.cli.top",
}


def _variables(_: click.Context, __: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str]:
    variables = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals or "\0" in pair:
            raise Usage(f"-e {pair!r} is not NAME=VALUE")
        variables[name] = value
    return variables


def _secrets(_: click.Context, __: click.Parameter, pairs: tuple[str, ...]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for pair in pairs:
        name, _equals, file = pair.partition("=")
        if not name or not file:
            raise Usage(f"--secret {pair!r} is not NAME=FILE")
        if name in files:
            raise Usage(f"--secret {name} is there twice, for {files[name]} and {file}; give each a name of its own")
        try:
            files[check_name(name)] = Path(file)
        except SettingError as error:
            raise Usage(f"--secret {pair!r}: {error}") from None
    return files


@main.command(
    cls=ProgramCommand,
    short_help="Run a runner with its workers.",
    epilog=_RUN_EXAMPLES + _EXIT_CODES,
    context_settings={"allow_extra_args": True},
)
@click.pass_context
@click.argument("module", metavar="MODULE", shell_complete=runners_there)
@click.option("-e", "--env", "variables", metavar="K=V", multiple=True, callback=_variables,
              help="Set an environment variable for the runner and its workers; may be repeated.")  # fmt: skip
@click.option("--secret", "secrets", metavar="NAME=FILE", multiple=True, callback=_secrets,
              help="A file whose content the runner and its workers read by aioparcs.secret(NAME); may be "
                   "repeated.")  # fmt: skip
@click.option("--modules", metavar="DIR", type=click.Path(exists=True, file_okay=False),
              help="The folder that holds the modules.  [default: $PARCS_MODULES, else the current folder "
                   "and the one above it]")  # fmt: skip
@click.option("--on", "where", type=click.Choice(["local", "swarm"]),
              help="local: on this machine. swarm: build images of changed modules, and run all on the Swarm.  "
                   "[default: the runner here, its workers where PARCS_ENGINE or LEADER_URL say]")  # fmt: skip
@click.option("--send", metavar="PATH", multiple=True, type=click.Path(),
              help="A file or folder in the current folder that the runner reads. On a Swarm it is sent along; "
                   "may be repeated.")  # fmt: skip
@click.option("--fetch", metavar="PATH", multiple=True, type=click.Path(),
              help="A file or folder that the runner writes. From a Swarm it is fetched into the current folder, with "
                   "--detach by `aioparcs fetch`; may be repeated.")  # fmt: skip
@click.option("--record", metavar="FILE", type=click.Path(dir_okay=False),
              help="Record what all workers do, for aioparcs report.  [default: $PARCS_RECORD]")  # fmt: skip
@click.option("--report", "page", metavar="FILE", type=click.Path(dir_okay=False),
              help="Write the page of aioparcs report when the runner has ended, in any way.")  # fmt: skip
@click.option("--ui", "has_page", is_flag=True,
              help="Show the run live on a web page, and print its address.  [default: $PARCS_UI]")  # fmt: skip
@click.option("--detach", is_flag=True, help="With --on swarm: print the job's name and don't wait for its end.")
@click.option("-q", "--quiet", is_flag=True, help="Show only failures, warnings and what the runner itself prints.")
@click.option("-v", "--verbose", is_flag=True, help="Show also when each worker starts, connects and ends.")
def run(
    context: click.Context,
    module: str,
    variables: dict[str, str],
    secrets: dict[str, Path],
    modules: str | None,
    where: str | None,
    send: tuple[str, ...],
    fetch: tuple[str, ...],
    record: str | None,
    page: str | None,
    has_page: bool,
    detach: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Run MODULE's main.py with its workers, on this machine or on a Docker Swarm.

    MODULE is a runner: the name of a folder under --modules, or the path of any folder with a main.py.
    The runner looks for its services under --modules too, or else beside its own folder.
    Relative paths in a runner start from the current folder, or on a Swarm from the runner's own folder, where it
    finds what --send names, and writes what --fetch names.
    The runner's output goes to stdout, everything about the run goes to stderr.
    """
    _refuse_arguments(context.args)
    arguments = ProgramCommand.program_arguments(context)
    if quiet and verbose:
        raise Usage("use either -q or -v, not both")
    if detach and where != "swarm":
        raise Usage("--detach needs --on swarm")
    detail = Detail.QUIET if quiet else Detail.VERBOSE if verbose else Detail.NORMAL
    if has_page:
        if detach:
            raise Usage("--ui shows a run that is followed; use it without --detach")
        os.environ["PARCS_UI"] = "1"
    record = record or variables.pop("PARCS_RECORD", "") or os.environ.get("PARCS_RECORD", "")
    if page:
        _check_page(page, where)
    if where == "swarm":
        if record and detach:
            raise Usage("--record fetches the recording at the runner's end; use it without --detach")
        files = _files(send, fetch, record)
        sys.exit(_submit(module, modules, variables, arguments, detail, detach, files, record, secrets))
    files = _files(send, fetch)
    if where == "local":
        os.environ["PARCS_ENGINE"] = "local"
    folder = find(module, roots(modules), runner=True)
    if modules:
        os.environ["PARCS_MODULES"] = os.path.abspath(modules)
    os.environ.update(variables)
    if variables:
        os.environ["PARCS_PROGRAM_VARIABLES"] = json.dumps(list(variables))
    includes = _includes(folder)
    try:
        if python := _interpreter(folder, detail):
            enter(python)
        give_secrets(read_secrets(secrets))
        with terminable():
            code = run_with_files(files, partial(_run, folder, arguments, includes, detail, record, page))
    except KeyboardInterrupt:  # between two lines of ours
        code = EX_INTERRUPTED
    except SettingError as error:
        raise Usage(str(error)) from None
    sys.exit(code)


def _run(
    folder: Path, arguments: tuple[str, ...], includes: list[str], detail: Detail, record: str, page: str | None
) -> int:
    """Run a runner and return its exit code; the recording is whole before files to fetch are listed."""
    os.environ.pop("PARCS_RECORD", None)  # not for child processes, which would write the same file

    def program(recording: str) -> int:
        with open_display(detail, _event_log(), recording, f"{folder.resolve().name}/main.py"):
            return execute(folder, arguments, includes)

    if not page:
        return program(record)
    from aioparcs.cli.report import run_with_page

    return run_with_page(program, record, page)


def _check_page(page: str, where: str | None) -> None:
    if where == "swarm":
        raise Usage("--report writes its page here: with --on swarm use --record FILE, and aioparcs report FILE then")
    if not os.path.isdir(os.path.dirname(os.path.abspath(page))):
        raise Usage(f"--report {page}: there is no folder {os.path.dirname(page)}")
    from aioparcs.cli.report import check_target

    check_target(page, "<!")


def _event_log() -> EventLog | None:
    """Return the log of events that the submitter of this runner has requested; its child processes write none."""
    word = os.environ.pop("PARCS_EVENTS", "")
    if not word:
        return None
    if not (word.isascii() and word.isalnum()):
        raise Usage(f"PARCS_EVENTS={word!r} is not a word of letters and digits")
    from aioparcs.events.log import EventLog

    return EventLog(word)


def _interpreter(folder: Path, detail: Detail) -> str | None:
    try:
        if not needs_another(folder):
            return None
        with terminable(), open_display(detail) as events:
            return interpreter(folder, events)
    except StartError as error:
        raise click.ClickException(f"{error.module}: {error.reason}{quote_lines(error.last_lines)}") from None


def _includes(folder: Path) -> list[str]:
    """Return the folder where a runner finds the packages that it shares with other modules, if it shares any."""
    from aioparcs.modules.includes import read_includes

    try:
        if not read_includes(folder):
            return []  # without loading the local engine
        from aioparcs.local.includes import include_folder

        return [include_folder(folder)]
    except StartError as error:
        raise click.ClickException(f"{error.module}: {error.reason}") from None


def _refuse_arguments(arguments: list[str]) -> None:
    """Raise a `Usage` for arguments after the module without ``--`` before them: they may be meant as variables."""
    if arguments:
        given = shlex.join(arguments)
        pairs = [f"-e {shlex.quote(pair)}" for pair in arguments if pair.partition("=")[1]]
        how = f"set variables by {' '.join(pairs)}" if len(pairs) == len(arguments) else f"write -- {given}"
        raise Usage(f"the runner's own arguments come after --, and variables after -e ({given}): {how}")


def _files(send: tuple[str, ...], fetch: tuple[str, ...], record: str = "") -> FileNames:
    try:
        names = FileNames.make(send, fetch, record)
    except SettingError as error:
        raise Usage(str(error)) from None
    check_there(names)
    return names


def _submit(module: str, modules: str | None, variables: dict[str, str], arguments: tuple[str, ...], detail: Detail,
            detach: bool, files: FileNames, record: str, secrets: dict[str, Path]) -> int:  # fmt: skip
    from aioparcs.cli.submit import RunRequest, submit  # Docker's libraries take longer to load than the rest together

    for line in misspelt(os.environ):  # the runner, which sees those of -e alone, would not say so
        click.echo(f"runner: {line}", err=True)
    is_image = ("/" in module or ":" in module) and not os.path.exists(module)
    runner = module if is_image else find(module, roots(modules), runner=True)
    folders = roots(modules) if modules or isinstance(runner, str) else [runner.parent]
    try:
        recording = os.path.relpath(record) if record else ""
        private = read_secrets(secrets)
        return submit(RunRequest(runner, folders, variables, arguments, detail, detach, files, recording, private))
    except SettingError as error:
        raise Usage(str(error)) from None
    except ParcsError as error:
        raise click.ClickException(str(error)) from None


@main.command(epilog=_SHELLS)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a shell's completion script.

    It completes commands, options and the names of modules.
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click has all three"
    click.echo(kind(main, {}, _NAME, _COMPLETE).source())
