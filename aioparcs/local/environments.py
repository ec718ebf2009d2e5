"""
The virtual environments of modules, one for each set of requirements, made once and kept.

They are in ``$XDG_CACHE_HOME/aioparcs`` (``~/.cache/aioparcs``), one for each interpreter and list of
requirements. What a module doesn't ask for itself comes from the runner's own packages, and aioparcs always does:
both ends of a channel are of one version.
"""

from __future__ import annotations

import ast
import asyncio
import fcntl
import hashlib
import os
import shutil
import site
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from time import monotonic

from aioparcs.ending import in_full
from aioparcs.errors import StartError
from aioparcs.events import EventBus, Notice
from aioparcs.local.cache import cache_folder
from aioparcs.local.process import Process
from aioparcs.modules.requirements import Requirements, read_requirements
from aioparcs.settings import VERSION
from aioparcs.transport import os_reason

__all__ = ["Environments"]

_COMPLETE = "complete"  # the file that lists what a whole environment consists of
_BORROWED = "aioparcs-runner.pth"  # the file that adds the runner's packages
_QUOTED = 10  # lines of the installer that an error quotes
_SETTINGS = 1000  # lines of pip's settings
# Settings of pip by which it would install elsewhere, or not at all.
_MOVING = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_DRY_RUN", "PIP_PYTHON")


class Environments:
    """The environments of one job's modules."""

    def __init__(self) -> None:
        self._locks: dict[Path, asyncio.Lock] = {}
        self._failed: dict[Path, StartError] = {}
        self._steps: set[Process] = set()
        self._closed = False

    async def interpreter(self, folder: Path, events: EventBus) -> str:
        """
        Return the Python that runs a module, after making its environment if there is none yet.

        Cancelling it leaves no half-made environment in use.

        Raises:
            StartError: the requirements can't be installed; quotes the installer's last lines.
        """
        needed = read_requirements(folder)
        if not needed.names:
            return sys.executable
        key = "\n".join([sys.version, sys.prefix, VERSION, needed.content])
        prefix = cache_folder(folder.name) / hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:16]
        try:
            if not _is_whole(prefix):
                await self._provide(folder, prefix, needed, events)
        except OSError as error:
            raise StartError(
                folder.name, f"can't make its environment in {prefix}: {os_reason(error)}; see XDG_CACHE_HOME"
            ) from error
        return str(_python(prefix))

    async def aclose(self) -> None:
        """Kill the installers that run; calls that wait for them raise a StartError."""
        self._closed = True
        await asyncio.gather(*(step.wait(0) for step in self._steps))

    async def _provide(self, folder: Path, prefix: Path, needed: Requirements, events: EventBus) -> None:
        """Create an environment, or wait for a call that creates it already, and raise the same error if that fails."""
        before = self._failed.get(prefix)
        async with self._locks.setdefault(prefix, asyncio.Lock()), _lock(prefix):
            if _is_whole(prefix):
                return
            failed = self._failed.get(prefix)
            if failed is not None and failed is not before:
                raise StartError(folder.name, failed.reason, failed.last_lines)
            events.publish(Notice(monotonic(), folder.name, f"making its environment: {', '.join(needed.names)}"))
            try:
                await self._make(folder, prefix, needed)
            except StartError as error:
                self._failed[prefix] = error
                raise
            events.publish(Notice(monotonic(), folder.name, "its environment is ready"))

    async def _make(self, folder: Path, prefix: Path, needed: Requirements) -> None:
        shutil.rmtree(prefix, ignore_errors=True)
        python = str(_python(prefix))
        if find_spec("pip"):  # the runner's own can install elsewhere: most of an environment's time goes into its pip
            make, pip, there = ["venv", "--without-pip"], [sys.executable, "-m", "pip"], ["--python", python]
        else:
            make, pip, there = ["venv"], [python, "-m", "pip"], []
        await self._run(folder, "venv", [sys.executable, "-m", *make, str(prefix)])
        _claim_aioparcs(prefix)
        settings = await self._pip_settings(folder, pip)
        options = "--quiet", "--no-input", "--disable-pip-version-check"
        await self._run(folder, "pip install", [*pip, *there, "install", *options, *needed.arguments], settings)
        _borrow_packages(prefix)
        _complete(folder.name, prefix, needed)

    async def _pip_settings(self, folder: Path, pip: list[str]) -> dict[str, str]:
        """
        Return what pip's configuration files say, as variables, without what would have it install elsewhere.

        Options of the command line can't take that back: they can only name another place.
        """
        listed = await self._run(folder, "pip config", [*pip, "config", "list"], {"PIP_QUIET": "0"}, keep=_SETTINGS)
        found: dict[str, str] = {}
        for section in ("global", "install"):  # the second overrides the first
            for line in listed:
                name, equals, value = line.partition("=")
                if equals and name.startswith(f"{section}."):
                    variable = "PIP_" + name.removeprefix(f"{section}.").upper().replace("-", "_")
                    found[variable] = _read_value(folder.name, name, value)
        kept = {name: value for name, value in found.items() if name not in _MOVING and name not in os.environ}
        return kept | {"PIP_CONFIG_FILE": os.devnull}

    async def _run(
        self, folder: Path, step: str, command: list[str], variables: Mapping[str, str] = {}, keep: int = _QUOTED
    ) -> tuple[str, ...]:
        """
        Run a step in the module's folder; it ends with this process, with the job, and when this is cancelled.

        Returns:
            The last lines that it printed.
        """
        if self._closed:
            raise StartError(folder.name, "its runner has ended")
        # pip must not count packages on the runner's PYTHONPATH as installed.
        environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", *_MOVING)}
        process = Process(command, folder, {**environ, **variables}, keep=keep)
        self._steps.add(process)
        try:
            code = await asyncio.shield(process.exited)
        except asyncio.CancelledError:
            process.kill()
            await in_full(process.exited)
            raise
        finally:
            self._steps.discard(process)
        if self._closed:
            raise StartError(folder.name, "its runner has ended")
        if code:
            raise StartError(
                folder.name, f"its requirements can't be installed ({step} failed)", process.last[-_QUOTED:]
            )
        return process.last


def _read_value(module: str, name: str, text: str) -> str:
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        raise StartError(module, f"pip's setting {name} can't be read: {text:.100}") from None


def _is_whole(prefix: Path) -> bool:
    """Return whether an environment was made completely, and nothing of it is missing."""
    try:
        parts = (prefix / _COMPLETE).read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return bool(parts) and all((prefix / part).exists() for part in parts)


def _complete(module: str, prefix: Path, needed: Requirements) -> None:
    """Write the list of an environment's parts, for `_is_whole`."""
    packages = sorted(_packages(prefix).glob("*.*-info"))
    plain = [name for name in needed.names if not name.startswith(("-", "aioparcs")) and ";" not in name]
    if plain and len(packages) == 1:  # what claims to be aioparcs
        raise StartError(
            module, f"pip has installed nothing into {prefix}, and reports no error: see its configuration"
        )
    parts = [_python(prefix), *packages, _packages(prefix) / _BORROWED]
    (prefix / _COMPLETE).write_text("".join(f"{part.relative_to(prefix)}\n" for part in parts))


def _python(prefix: Path) -> Path:
    return prefix / "bin" / "python"


@asynccontextmanager
async def _lock(prefix: Path) -> AsyncIterator[None]:
    """Hold an environment's lock, so that one job at a time makes it; others wait."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    with prefix.with_suffix(".lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.1)  # flock() reports a free lock only to a caller that blocks
        yield


def _packages(prefix: Path) -> Path:
    return next(prefix.glob("lib/python*/site-packages"))


def _claim_aioparcs(prefix: Path) -> None:
    """Register aioparcs as installed, so that pip fetches no other version for a package that requires it."""
    metadata = _packages(prefix) / f"aioparcs-{VERSION}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: aioparcs\nVersion: {VERSION}\n")


def _borrow_packages(prefix: Path) -> None:
    """Add the runner's packages; last, since pip would take them for the environment's own."""
    borrowed = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    lines = [f"import site; site.addsitedir({path!r})\n" for path in borrowed]
    (_packages(prefix) / _BORROWED).write_text("".join(lines))
