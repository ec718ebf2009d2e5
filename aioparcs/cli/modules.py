"""The search for the modules that a command line names, and the shell's completion of their names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from aioparcs.modules import find_modules, module_folders
from aioparcs.modules.kinds import serves

__all__ = ["Usage", "find", "modules_there", "roots", "runners", "runners_there"]

MAIN = "main.py"


class Usage(click.ClickException):
    """An error in the command line, printed in one line; the exit code is 2."""

    exit_code = 2


def roots(modules: str | None) -> list[Path]:
    """
    Return the folders that module names are looked up in.

    Args:
        modules: the value of ``--modules``. None stands for ``PARCS_MODULES`` of the environment or, without it,
            for the current folder and the one that holds it.
    """
    if modules:
        return [Path(os.path.abspath(modules))]
    if os.environ.get("PARCS_MODULES"):
        return module_folders()
    return [Path.cwd(), Path.cwd().parent]


def find(name: str, folders: Sequence[Path], *, runner: bool = False) -> Path:
    """
    Return a module's folder.

    Args:
        name: a module's name, a folder with a ``main.py``, or that file itself.
        folders: where names are looked up, see `roots`.
        runner: it is to be run, so services are not offered in its place.

    Raises:
        Usage: there is no such module; the message lists those that there are.
    """
    is_name = os.sep not in name and name not in (os.curdir, os.pardir)
    there = find_modules(folders)
    if is_name and name in there:
        return there[name]
    path = Path(os.path.abspath(name))
    if path.name == MAIN and os.path.isfile(path):  # not is_file(), which raises when a name is too long
        return path.parent
    if os.path.isfile(path / MAIN):
        return path
    if path.suffix == ".py" and os.path.isfile(path):
        how = f": run it with python {name}" if runner else ""
        raise Usage(f"{name} is a script; a module is a folder with a {MAIN}{how}")
    if os.path.isdir(path):
        raise Usage(f"{name} is not a module: it has no {MAIN}")
    if not is_name:
        raise Usage(f"there is no folder {name}")
    raise Usage(f"there is no module {name!r} in {_listed(folders, ' or ')}; {_instead(name, there, runner)}")


def runners(there: Mapping[str, Path]) -> list[str]:
    """Return the names of those modules that can be run: their ``main.py`` doesn't call ``serve``."""
    return sorted(name for name, folder in there.items() if not serves(folder))


def _instead(name: str, there: Mapping[str, Path], runner: bool) -> str:
    if not there:
        return f"a module is a folder with a {MAIN}; name the folder that holds them with --modules"
    fit = runners(there) if runner else sorted(there)
    from difflib import get_close_matches  # for this message only

    near = get_close_matches(name.lower(), [other.lower() for other in there], 1)
    meant = next((other for other in there if [other.lower()] == near), None)
    if meant in fit:
        return f"did you mean {meant}?"
    service = f"{meant} is a service, which a runner starts; " if meant else ""
    return f"{service}found there: {', '.join(fit)}" if fit else f"{service}none of the modules there is a runner"


def _listed(folders: Sequence[Path], separator: str) -> str:
    return separator.join(_short(folder) for folder in folders)


def _short(folder: Path) -> str:
    relative = os.path.relpath(folder)
    return "this folder" if relative == os.curdir else str(folder) if relative.startswith("..") else relative


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
