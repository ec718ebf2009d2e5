"""
A virtual environment for each set of requirements, made once and kept.

They are in ``$XDG_CACHE_HOME/aioparcs`` (``~/.cache/aioparcs``), one for each interpreter and list of
requirements. What a module doesn't ask for itself, aioparcs among it, comes from the runner's own packages.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import site
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aioparcs.engine import Observer
from aioparcs.errors import StartError
from aioparcs.local.modules import requirements

__all__ = ["interpreter"]

_COMPLETE = "complete"  # the file that says that an environment is whole


async def interpreter(folder: Path, observer: Observer) -> str:
    """
    Tell the Python that runs a module, after making its environment if there is none yet.

    Cancelling it leaves no half-made environment in use.

    Raises:
        StartError: the requirements can't be installed; quotes the installer's last lines.
    """
    needed = requirements(folder)
    if not needed:
        return sys.executable
    key = "\n".join([sys.version, sys.prefix, *sorted(needed)])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aioparcs"
    home = cache / hashlib.sha256(key.encode()).hexdigest()[:16]
    python = home / "bin" / "python"
    try:
        async with _lock(home):
            if not (home / _COMPLETE).exists():
                observer.note(folder.name, f"making its environment: {', '.join(needed)}")
                await _make(folder, home, python, needed)
                observer.note(folder.name, "its environment is ready")
    except OSError as error:
        raise StartError(folder.name, f"can't make its environment in {home}: {error}") from error
    return str(python)


@asynccontextmanager
async def _lock(home: Path) -> AsyncIterator[None]:
    """Let one job at a time make an environment; the others wait for it."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.1)  # the kernel tells nobody when a lock is free, except who blocks
        yield


async def _make(folder: Path, home: Path, python: Path, needed: list[str]) -> None:
    shutil.rmtree(home, ignore_errors=True)
    await _run(folder.name, sys.executable, "-m", "venv", str(home))
    await _run(folder.name, str(python), "-m", "pip", "install", "--quiet", "--no-input", *needed, cwd=folder)
    _borrow_packages(home)


def _borrow_packages(home: Path) -> None:
    """Complete an environment; last, for an installer that saw the runner's packages would count them as its own."""
    packages = next(home.glob("lib/python*/site-packages"))
    lines = [f"import site; site.addsitedir({path!r})\n" for path in [*site.getsitepackages(), *_user_site()]]
    (packages / "aioparcs-runner.pth").write_text("".join(lines))
    (home / _COMPLETE).touch()


def _user_site() -> list[str]:
    return [site.getusersitepackages()] if site.ENABLE_USER_SITE else []


async def _run(module: str, *command: str, cwd: Path | None = None) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        lines = tuple(output.decode(errors="replace").strip().splitlines()[-10:])
        raise StartError(module, f"its requirements can't be installed ({' '.join(command[1:4])} failed)", lines)
