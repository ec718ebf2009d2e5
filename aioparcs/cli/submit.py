"""The steps of ``aioparcs run --on swarm``: build, submit, follow, clean up."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click

from aioparcs.build import start_builds
from aioparcs.cli.job_log import print_log
from aioparcs.cli.transfer.submitter import Transfer, check_names
from aioparcs.display import Detail, keep
from aioparcs.errors import BuildError, ClusterError, StartError
from aioparcs.events import EventBus, ProgramEnding
from aioparcs.files.names import FileNames
from aioparcs.modules import find_modules
from aioparcs.modules.images import registry_address
from aioparcs.runner.program import Stop
from aioparcs.settings import Settings
from aioparcs.swarm import SwarmClient, open_swarm
from aioparcs.swarm.docker.labels import stack
from aioparcs.swarm.engine.images import read_images
from aioparcs.swarm.engine.source import module_files
from aioparcs.swarm.jobs.jobs import remove_job, sweep
from aioparcs.swarm.jobs.submit import RunnerService, Submission
from aioparcs.swarm.jobs.view import EVENTS, end_text

__all__ = ["RunRequest", "modules_named", "submit"]

_FLAGS = {Detail.QUIET: ("-q",), Detail.NORMAL: (), Detail.VERBOSE: ("-v",)}
_LONGEST_PATH = 4096
_WORD = re.compile(r"[\w.-]+")
# Variables about the cluster, which the runner gets from this program's environment.
_PASSED_ON = ("PARCS_REGISTRY", "PARCS_NETWORK")


class RunRequest(NamedTuple):
    """
    The request of the command line.

    Attributes:
        runner: the runner's folder, or an image.
        folders: the folders that hold its services' folders.
        variables: its environment.
        arguments: its arguments, for ``sys.argv``.
        detail: how much is printed.
        detach: don't wait for its end.
        files: the files that it is sent, and those that are fetched from it.
        record: one of the latter, which it records itself in; "" for none.
        secrets: what it and its workers read by name.
    """

    runner: Path | str
    folders: list[Path]
    variables: Mapping[str, str]
    arguments: tuple[str, ...]
    detail: Detail
    detach: bool
    files: FileNames = FileNames()
    record: str = ""
    secrets: Mapping[str, bytes] = {}


def submit(request: RunRequest) -> int:
    """
    Run a runner on the Swarm, and return its exit code.

    Ctrl-C and SIGTERM end the runner gracefully, wherever it is.

    Raises:
        BuildError, ClusterError, SettingError: it could not be built, submitted or followed.
        asyncio.CancelledError, KeyboardInterrupt: it was stopped.
    """
    stop, code = Stop("to leave the cleanup to the cluster"), 1

    async def run() -> None:
        nonlocal code
        code = await _submit(request)

    try:
        with asyncio.Runner() as loop:
            loop.run(stop.guard(run()))
    except (asyncio.CancelledError, KeyboardInterrupt):
        if stop.signal is None:
            raise
        code = 128 + stop.signal
    return code


def modules_named(runner: Path, folders: list[Path], variables: Mapping[str, str]) -> dict[str, Path]:
    """
    Return the modules that a run may start, by name.

    Their names, or paths, stand as texts in the runner's program, or in those of modules that are named so, or are
    words in the values of its variables. Others are refused when they are started.

    Args:
        runner: the runner's folder.
        folders: the folders that hold modules.
        variables: the runner's environment.

    Raises:
        BuildError: two of them have one name.
    """
    there = find_modules(folders)
    named: dict[str, Path] = {}
    unread = [runner]
    texts = {word for value in variables.values() for word in (value, *_WORD.findall(value))}
    while unread:
        texts |= _texts(unread.pop())
        for folder in filter(None, (there.get(text) or _at(runner, text) for text in texts)):
            if folder.name not in named:
                named[folder.name] = folder
                unread.append(folder)
            elif not folder.samefile(named[folder.name]):
                raise BuildError(
                    folder.name, "", f"it is the name of both {named[folder.name]} and {folder}; rename one"
                )
    return named


def _at(runner: Path, text: str) -> Path | None:
    """Return the module's folder if a text is a path to one, relative to the runner's folder, else None."""
    if not text.startswith(("./", "../", "/")) or "\0" in text or len(text) > _LONGEST_PATH:
        return None
    folder = Path(os.path.normpath(runner / text))
    return folder if os.path.isfile(folder / "main.py") else None


def _texts(folder: Path) -> set[str]:
    texts: set[str] = set()
    for file in (path for name, path in module_files(folder).items() if name.endswith(".py") and path.is_file()):
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError):
            continue  # running it reports the error
        texts |= {
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    return texts


async def _submit(request: RunRequest) -> int:
    settings, job = Settings.from_env(), secrets.token_hex(4)
    async with open_swarm() as swarm:
        await _sweep(swarm, request)
        given = read_images(request.variables)
        image, built = await _build(swarm, request)
        note = None if request.detail is Detail.QUIET else partial(_echo, request)
        transfer, goes_on = Transfer(swarm, job, request.files, note), False
        try:
            files = await transfer.send(image)
            submission = _submission(request, settings, job, image, built | given)._replace(files=files)
            service = await RunnerService.submit(swarm, submission)
            if request.detach:
                click.echo(job)
                _echo(request, f"submitted; {_hint(job, request.files)}")
                goes_on = True
                return 0
            _echo(request, f"runs as job {job}; its containers: docker stack ps {stack(job)}")
            async for text in service.wait_running(settings.start_timeout):
                _echo(request, text)
            with _kept(request, job) as events:
                try:
                    await print_log(service.lines(), submission.variables[EVENTS], request.detail, live=True,
                                    events=events)  # fmt: skip
                except ClusterError as error:
                    goes_on = True
                    events.publish(ProgramEnding(time.monotonic(), f"lost contact with it: {error.reason}"))
                    _echo(request, f"lost contact with it ({error.reason}); {_hint(job, request.files)}")
                    return 1
                code = await transfer.fetch(service.exitcode)
                end = end_text(code)
                events.publish(ProgramEnding(time.monotonic(), end))
                if end.startswith("killed"):  # else it has said so itself
                    click.echo(f"error: the runner was {end}", err=True)
                return code
        finally:
            if not goes_on:
                await _clean_up(swarm, job, request, files=not transfer.has_kept)


def _submission(request: RunRequest, settings: Settings, job: str, image: str, images: Mapping[str, str]) -> Submission:
    """
    Return what is submitted: the runner's image, and those that the names of its modules stand for.

    Workers of the runner's own functions run that image too, with the variables that its user has given.
    """
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    own = {
        "PARCS_IMAGES": json.dumps(images),
        "PARCS_PROGRAM_IMAGE": image,
        "PARCS_PROGRAM_VARIABLES": json.dumps(list(request.variables)),
        EVENTS: secrets.token_hex(8),
        **({"PARCS_FILES": "1"} if any(request.files) else {}),
    }
    recording = (f"--record={request.record}",) if request.record else ()
    command = ("python", "-m", "aioparcs", "run", ".", *_FLAGS[request.detail], *request.files.options, *recording)
    return Submission(
        job=job,
        module=request.runner.name if isinstance(request.runner, Path) else request.runner,
        image=image,
        variables={**passed, **settings.to_env(), **request.variables, **own},
        arguments=(*command, *(["--", *request.arguments] if request.arguments else [])),
        deadline=time.time() + settings.start_timeout,
        images=_may_start(images),
        secrets=request.secrets,
    )


@contextmanager
def _kept(request: RunRequest, job: str) -> Iterator[EventBus]:
    """Keep the history of the runner here, where it is followed; provide the bus for its events."""
    events = EventBus()
    name = request.runner.name if isinstance(request.runner, Path) else request.runner
    with keep(events, f"{name}/main.py", {"engine": "swarm", "job": job}):
        try:
            yield events
        except (asyncio.CancelledError, KeyboardInterrupt):
            events.publish(ProgramEnding(time.monotonic(), "stopped"))
            raise


def _hint(job: str, files: FileNames) -> str:
    fetch = f"fetch its files with aioparcs fetch {job}, " if files.fetch else ""
    return f"follow it with aioparcs logs -f {job}, {fetch}remove it with aioparcs rm {job}"


async def _sweep(swarm: SwarmClient, request: RunRequest) -> None:
    """Remove what dead runners have left; a failure is printed, and the run goes on."""
    try:
        for line in (await sweep(swarm)).lines:
            _echo(request, line)
    except ClusterError as error:
        _echo(request, f"could not remove what is left of other jobs: {error.reason}")


async def _build(swarm: SwarmClient, request: RunRequest) -> tuple[str, dict[str, str]]:
    """Build and push what has changed; return the runner's image, and those of modules by name."""
    if isinstance(request.runner, str):
        return request.runner, {}
    try:
        check_names(request.runner, request.files)
        named = modules_named(request.runner, request.folders, request.variables)
    except (OSError, UnicodeDecodeError) as error:
        raise BuildError(request.runner.name, "", f"a folder can't be read: {error}") from error
    except StartError as error:
        raise BuildError(error.module, "", error.reason) from error
    folders = list(dict.fromkeys([request.runner, *named.values()]))
    images = await _build_all(swarm, request, folders)
    return images[request.runner], {name: images[folder] for name, folder in named.items()}


async def _build_all(swarm: SwarmClient, request: RunRequest, folders: list[Path]) -> dict[Path, str]:
    """Build and push modules, and return their images; their lines are printed in order."""
    images = {}
    try:
        async with asyncio.TaskGroup() as group:
            for folder, started in zip(folders, start_builds(group, swarm.docker, folders, push=True), strict=True):
                image = await started
                if image.digest is None:
                    raise BuildError(image.module, image.reference, "it was not pushed")
                if image.built or image.pushed:
                    _echo(request, f"{'built and ' * image.built}pushed {image.reference}", image.module)
                images[folder] = image.digest
    except BaseExceptionGroup as errors:
        first = errors.exceptions[0]  # the failure that has ended the other builds
        raise first from first.__cause__
    return images


def _may_start(images: Mapping[str, str]) -> tuple[str, ...]:
    """Return the images whose registries the runner must be able to use: those built, and any in its own registry."""
    registry = registry_address(None)
    return (*images.values(), *([f"{registry}/any"] if registry else []))


async def _clean_up(swarm: SwarmClient, job: str, request: RunRequest, *, files: bool) -> None:
    """Remove all of the job, its files only if wanted; a failure is printed, and doesn't change the exit code."""
    try:
        await remove_job(swarm, job, files=files)
    except ClusterError as error:
        _echo(request, f"{error}; remove the job with aioparcs rm {job}")


def _echo(request: RunRequest, text: str, origin: str = "runner") -> None:
    if request.detail is not Detail.QUIET:
        click.echo(f"{origin}: {text}", err=True)
