"""The local engine, with one launcher process for each module, environment and interpreter."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from aioparcs import deadlines
from aioparcs.address import ORIGINAL_PORT, Address
from aioparcs.cpus import usable_cpus
from aioparcs.engine import Job, LauncherState, Placement, WorkerGroup, WorkerSpec
from aioparcs.engine.threads import thread_share, thread_variables
from aioparcs.errors import SettingError, StartError, signal_name
from aioparcs.events import LogLines, Notice
from aioparcs.launcher.context import RunnerEndpoint, pass_token
from aioparcs.local.includes import include_variables
from aioparcs.local.launchers import Key, Launcher, Launchers
from aioparcs.local.process import Process
from aioparcs.local.sources import Marks, Sources, Tree, loaded_marks
from aioparcs.modules import Command, command_for, find_module, module_folders, program_folder
from aioparcs.qualname import START_FOLDER
from aioparcs.transport import Listener, listen, os_reason

if TYPE_CHECKING:
    from aioparcs.local.environments import Environments

__all__ = ["LocalEngine"]

# The original insists on the variable, and connects to it only when a service starts services.
_V1_LEADER = "tcp://127.0.0.1:4321"


class LocalEngine:
    """
    Runs launchers as processes of this machine.

    Sockets are in the abstract namespace, the token goes through a pipe, and the kernel kills each process when the
    runner ends: whatever happens, no file and no process stays behind.

    Args:
        modules: the folders that hold modules; see `module_folders` for the default.

    Raises:
        SettingError: this is another system than Linux.
    """

    def __init__(self, modules: list[Path] | None = None) -> None:
        if sys.platform != "linux":
            where = "run the program in a container or a virtual machine with Linux, or on a Swarm by --on swarm"
            raise SettingError(f"workers need Linux, and this is {sys.platform}: {where}")
        self._folders = modules if modules is not None else module_folders()
        self._processes: dict[int, Process] = {}
        self._next_slot = 0
        self._launchers = Launchers()
        self._trees: dict[Path, Tree] = {}
        self._v1: Process | None = None
        self._environments: Environments | None = None  # of modules with folders of their own
        self._closed = False
        self._job: Job

    async def listen(self, on_connect: Callable[[Any, Any], Awaitable[None]], *, tls: bool) -> Listener:
        """Listen on an abstract Unix socket."""
        return await listen(Address("unix", "@"), on_connect, tls=tls)

    async def open(self, job: Job) -> None:
        """Store the job whose workers are to be started."""
        self._job = job

    async def default_size(self, spec: WorkerSpec) -> int:
        """Return how many workers there are CPUs and GPUs for, at least 1."""
        sizes = [int(usable_cpus() / (spec.cpus or 1))]
        if spec.gpus:
            from aioparcs.launcher.process.gpus import visible_gpus  # few workers have GPUs

            sizes.append(len(visible_gpus({**os.environ, **spec.env})) // spec.gpus)
        return max(1, min(sizes))

    async def start(self, spec: WorkerSpec, first: int, count: int) -> WorkerGroup:
        """
        Place workers with a launcher that runs already, or with a new one.

        Raises:
            StartError: there is no such module, its requirements can't be installed, or a limit can't be enforced.
        """
        command, python, marks = await self._prepare(spec, count)
        if self._closed:
            raise StartError(spec.module, "its runner has ended")
        if spec.wire == "v1":
            slot = self._start_v1(spec, command, python, count)
        else:
            cpus = spec.cpus or usable_cpus() / (spec.together or count)
            slot = self._launcher(spec, command, python, marks, cpus)
            self._launchers.occupy(slot, first)
        placement = Placement(slot, first, count, spec.limits)
        return WorkerGroup(spec, first, count, (placement,))

    async def states(self, group: WorkerGroup) -> AsyncIterator[LauncherState]:
        """Yield the states of the group's launcher: that it runs, then how it ended."""
        (placement,) = group.placements
        slot = placement.launcher
        yield LauncherState(slot, "running")
        code = await asyncio.shield(self._processes[slot].exited)
        how = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        yield LauncherState(slot, "gone", how, code)
        self._launchers.forget(slot)
        del self._processes[slot]

    async def address(self, launcher: int) -> Address:
        """Return the address that a service of the original PARCS listens on."""
        return Address("tcp", "127.0.0.1", ORIGINAL_PORT)

    def poll_now(self) -> None:
        """Do nothing: the end of a process is noticed at once."""

    async def stop(self, group: WorkerGroup) -> None:
        """Kill the group's launchers, and their workers with them."""
        for placement in group.placements:
            self._launchers.retire(placement.launcher)
            if process := self._processes.get(placement.launcher):
                process.kill()

    async def release(self, group: WorkerGroup) -> None:
        """Release the group's launcher: it is ended if it will get no more workers, else kept with its code loaded."""
        for placement in group.placements:
            self._launchers.release(placement.launcher, group.first)

    async def post_mortem(self, launcher: int) -> tuple[str, ...]:
        """Return the last lines that a launcher itself printed."""
        return self._processes[launcher].last

    async def aclose(self) -> None:
        """Wait for all processes to end; kill those that don't."""
        self._closed = True
        if self._environments:
            await self._environments.aclose()
        if self._v1:
            self._v1.kill()
        self._launchers.close()
        await asyncio.gather(*(process.wait(deadlines.LAUNCHER_EXIT) for process in self._processes.values()))

    async def _prepare(self, spec: WorkerSpec, count: int) -> tuple[Command, str, Marks | None]:
        """
        Return the command of a launcher, its interpreter, and the marks of the files of its module's folder.

        Raises:
            StartError: see `start`.
        """
        if spec.target is not None:
            _check_limits(spec, count)
            return _with_includes(command_for(spec.target), program_folder(), spec), sys.executable, None
        folder = find_module(spec.module, self._folders, spec.folder)
        _check_limits(spec, count)
        _check_files(spec, folder)
        if self._environments is None:
            try:
                from aioparcs.local.environments import Environments  # which the program's own functions don't need
            except OSError as error:  # no file can be opened
                raise StartError(spec.module, f"can't start its launcher: {os_reason(error)}") from error

            self._environments = Environments()
        python = await self._environments.interpreter(folder, self._job.events)
        marks = await self._trees.setdefault(folder, Tree(folder)).marks()
        return _with_includes(Command((str(folder / "main.py"),), folder), folder, spec), python, marks

    def _launcher(self, spec: WorkerSpec, command: Command, python: str, marks: Marks | None, cpus: float) -> int:
        """Return the slot of a launcher that runs the code as it is on disk; start one if there is none."""
        environ = {**os.environ, **spec.env}
        key = Key(command, tuple(sorted(spec.env.items())), python, thread_share(cpus, environ))
        key = self._launchers.similar(key)
        threads = thread_variables(key.threads, environ)
        slot = self._launchers.find(key, marks)
        if slot is not None:
            return slot
        try:
            sources = Sources(loaded_marks(), if_loaded=True) if marks is None else Sources(marks)
        except OSError as error:
            raise StartError(spec.module, f"can't start its launcher: {os_reason(error)}") from error
        try:
            command = command._replace(variables=(*command.variables, *threads.items()))
            slot = self._spawn(spec, command, python, sources.report)
        except BaseException:
            sources.close()
            raise
        self._launchers.add(slot, Launcher(key, self._processes[slot], sources))
        if self._launchers.outdated(key):
            changed = "its code has changed: running workers keep the old code, and new workers run the new code"
            self._job.events.publish(Notice(monotonic(), spec.module, changed))
        return slot

    def _start_v1(self, spec: WorkerSpec, command: Command, python: str, count: int) -> int:
        if count > 1 or (self._v1 and not self._v1.exited.done()) or not _is_free(ORIGINAL_PORT):
            raise StartError(
                spec.module,
                f"the original wire needs port {ORIGINAL_PORT}, so on one machine one such worker can run at a time"
                "; end the other one first",
            )
        slot = self._spawn(spec, command, python, None)
        self._v1 = self._processes[slot]
        return slot

    def _spawn(self, spec: WorkerSpec, command: Command, python: str, report: int | None) -> int:
        """
        Start a launcher, and return its slot.

        Args:
            spec: the workers' specification.
            command: the launcher's command.
            python: the interpreter.
            report: see `Sources`; None for a service of the original PARCS, which is no launcher.
        """
        job, slot = self._job, self._next_slot
        leader = {"LEADER_URL": os.environ.get("LEADER_URL", _V1_LEADER)} if report is None else {}
        endpoint = RunnerEndpoint(job.address, job.id, slot, job.token, None)
        try:
            inherited, variables = _inheritance(endpoint, report, job.secrets) if report is not None else ([], {})
            process = Process(
                [python, *_flags(), *command.arguments],
                command.folder,
                {**os.environ, **leader, **job.settings.to_env(), **spec.env, **dict(command.variables), **variables},
                inherit=inherited,
                keep=job.settings.last_lines,
                on_line=lambda line: job.events.publish(LogLines(monotonic(), spec.module, ((None, line),))),
            )
        except OSError as error:
            raise StartError(spec.module, f"can't run {python}: {os_reason(error)}") from error
        self._processes[slot] = process
        self._next_slot += 1
        return slot


def _check_files(spec: WorkerSpec, folder: Path) -> None:
    """
    Check that a module has the files that its workers shall have: these run in its own folder, not in the runner's.

    Raises:
        StartError: it has not.
    """
    for name in spec.files:
        if not (folder / name).exists():
            import shlex  # for this message only

            there = os.path.join(START_FOLDER, name)
            link = shlex.join(["ln", "-s", os.path.relpath(there, (folder / name).parent), str(folder / name)])
            reason = f"files=: its workers run in {folder} here, which has no {name}; make a link to it: {link}"
            raise StartError(spec.module, reason)


def _with_includes(command: Command, folder: str | Path | None, spec: WorkerSpec) -> Command:
    """
    Return a launcher's command, with the variables by which it finds the packages that its module shares.

    Raises:
        StartError: one of these can't be found.
    """
    if folder is None:  # a program without a file, such as a notebook
        return command
    variables = include_variables(Path(folder), spec.env)
    return command._replace(variables=(*command.variables, *variables.items()))


def _inheritance(
    endpoint: RunnerEndpoint, report: int, secrets: Mapping[str, bytes]
) -> tuple[list[int], dict[str, str]]:
    """Return the descriptors that a launcher inherits, and the variables that name them and the runner."""
    descriptors = [pass_token(endpoint.token)]
    variables = {**endpoint.to_env(descriptors[0]), **_terminal()}
    try:
        descriptors.append(os.dup(report))
        variables |= {"PARCS_SOURCES_FD": str(descriptors[-1])}
        if secrets:
            from aioparcs.credentials import pass_secrets  # few jobs have any

            descriptors.append(pass_secrets(secrets))
            variables |= {"PARCS_SECRETS_FD": str(descriptors[-1])}
    except OSError:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return descriptors, variables


def _terminal() -> dict[str, str]:
    """Return the variable by which workers find this program's terminal, for their debugger, if it has one."""
    try:
        return {"PARCS_TERMINAL": f"{os.ttyname(0)} {os.getpid()}"} if os.isatty(2) else {}
    except OSError:
        return {}


def _check_limits(spec: WorkerSpec, count: int) -> None:
    """Raise a StartError for limits that Linux doesn't enforce for an ordinary user, and for GPUs that aren't there."""
    available = len(os.sched_getaffinity(0))
    if spec.cpus is not None and (spec.cpus != int(spec.cpus) or spec.cpus > available):
        raise StartError(
            spec.module,
            f"cpus={spec.cpus:g}: the local engine assigns whole CPUs, and this program may use {available}",
        )
    if spec.gpus:
        from aioparcs.launcher.process.gpus import gpus_refusal_reason

        if reason := gpus_refusal_reason(spec.gpus, count, {**os.environ, **spec.env}):
            raise StartError(spec.module, reason)


def _flags() -> list[str]:
    """Return the options of this interpreter, such as ``-O`` and ``-X dev``: its workers run with the same ones."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
    return flags


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("", port))
        except OSError:
            return False
        return True
