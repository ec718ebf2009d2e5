"""The roles of a process that serves: launcher, worker, or a service of the original PARCS."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # see `child`
import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import NamedTuple, NoReturn, Self

from aioparcs.address import Address
from aioparcs.auth import Role
from aioparcs.entry import module_name
from aioparcs.errors import ConnectionLost, HandshakeError, SettingError
from aioparcs.launcher.connect import Connection, adopt, connect, connect_now
from aioparcs.launcher.context import RunnerEndpoint, WorkerContext
from aioparcs.launcher.process.child import TERMINATED, run, set_handler, warm_up
from aioparcs.launcher.process.exiting import Inherited, flush_output
from aioparcs.launcher.startup import launch
from aioparcs.loop import new_loop
from aioparcs.qualname import MAIN, Finding, QualifiedName, program_file, set_finding
from aioparcs.service.conversation import Program, converse
from aioparcs.service.original import serve_original
from aioparcs.service.peer_endpoint import PeerEndpoint
from aioparcs.service.prewarm import prewarm
from aioparcs.service.random_streams import set_rank
from aioparcs.service.service import Service
from aioparcs.service.targets import FunctionFinder, program_of, service_of
from aioparcs.service.tracebacks import print_cancelled
from aioparcs.settings import Settings

__all__ = ["serve_named", "serve_program"]

_USAGE = "this is a service: a runner starts it, with runner.start({module!r}); try: aioparcs run RUNNER"


def serve_named(target: str) -> NoReturn:
    """
    Serve a function or a service class of the runner's own program; ends the process.

    Args:
        target: where it is, see `QualifiedName`.
    """
    place = QualifiedName.parse(target)
    set_finding(Finding.ALL if place.module == MAIN else Finding.MODULES)
    try:
        target_object = place.load()
    except ModuleNotFoundError as error:
        if error.name is None or not f"{place.module}.".startswith(f"{error.name}."):
            raise
        _leave(1, f"error: a worker finds no module {error.name}: it must be on the sys.path of its runner's program")
    except AttributeError as error:
        where = f"{program_file()}, above run(main)" if place.module == MAIN else place.module
        _leave(1, f"error: a worker finds no {place.name} in {where}: {error}")
    try:
        program, make = program_of([target_object], place.name, FunctionFinder(place)), service_of([target_object])
    except TypeError as error:
        _leave(1, f"error: {error}")
    serve_program(program, make, fork=True)


def serve_program(program: Program, make: Callable[[], Service] | None, *, fork: bool) -> NoReturn:
    """
    Run what a worker does, in the role that this process was started for; ends the process.

    Args:
        program: the program of a worker.
        make: makes the service, if it is one.
        fork: see `serve`.
    """
    try:
        settings = Settings.from_env()
        runner = RunnerEndpoint.from_env()
    except SettingError as error:
        _leave(2, f"error: {error}")
    if runner is not None and runner.target is None:
        set_finding(Finding.NOTHING)
    if runner is not None and runner.context is not None:
        context = runner.context
        warm_up()
        if random := sys.modules.get("random"):  # whatever the module did; in a fork `random` does so itself
            random.seed()
        inheritance = Inherited((), frozenset(threading.enumerate()))
        _leave(run(_WorkerProgram.of(runner, settings, program, functions=make is None), context, inheritance))
    if runner is not None:
        launch(runner, settings, _WorkerProgram.of(runner, settings, program, functions=make is None), fork=fork)
    if make is not None and "LEADER_URL" in os.environ:
        with asyncio.Runner(loop_factory=new_loop) as loop_runner:
            code = loop_runner.run(serve_original(make, settings))
        _leave(code)
    _leave(2, _USAGE.format(module=module_name()))


class _WorkerProgram(NamedTuple):
    """
    The program of a launcher's workers.

    Attributes:
        runner: the runner's address, and the job's token.
        settings: limits and deadlines.
        program: what a worker does with its channel.
        name: what its workers are called, before their numbers.
        functions: whether it answers calls of functions.
    """

    runner: RunnerEndpoint
    settings: Settings
    program: Program
    name: str
    functions: bool

    @classmethod
    def of(cls, runner: RunnerEndpoint, settings: Settings, program: Program, *, functions: bool) -> Self:
        """Return the program, with its name."""
        name = QualifiedName.parse(runner.target).name if runner.target else module_name()
        return cls(runner, settings, program, name, functions)

    def run(self, context: WorkerContext) -> int:
        """Run a worker; return the exit code."""
        # Not asyncio.Runner: what it adds, Ctrl-C and closing the loop, a worker that ends with its process doesn't
        # need, and 200 workers would pay for 200 times.
        loop = new_loop()
        set_rank(context.rank)
        task: asyncio.Task[int] | None = None
        stopped = 0

        def stop(number: int, _frame: object) -> None:
            nonlocal stopped
            stopped = number
            if number == signal.SIGINT:
                signal.signal(number, signal.SIG_DFL)  # a second one ends a worker that computes
            if task is None:
                raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(TERMINATED)
            loop.call_soon_threadsafe(task.cancel)  # so that the program's ``finally`` blocks run

        # Not by the loop, whose handlers cost a worker more, and wait for the loop's turn as this one does.
        set_handler(signal.SIGTERM, stop)
        if _signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # which raises in the midst of the loop
            set_handler(signal.SIGINT, stop)
        try:
            settings = self.settings
            endpoint = PeerEndpoint(self.runner, settings, context.worker, context.progress)
            # In one expression: SIGTERM between its parts would leave coroutines that are never awaited.
            task = loop.create_task(
                converse(_connection(self.runner, settings, context), endpoint, settings, context, self.program)
            )
            code = loop.run_until_complete(task)
        except (ConnectionLost, HandshakeError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except asyncio.CancelledError as error:
            code = TERMINATED if stopped else print_cancelled(error)
        loop.run_until_complete(_end_tasks())
        if stopped == signal.SIGINT:
            raise KeyboardInterrupt
        return code

    def prewarm(self) -> None:
        """Run once what each forked worker will run."""
        prewarm(self.runner, self.settings, functions=self.functions)


def _connection(runner: RunnerEndpoint, settings: Settings, context: WorkerContext) -> Awaitable[Connection]:
    """Connect, at once where that is possible: a worker has nothing else to do, and a loop costs a worker more."""
    if context.parent:
        runner = runner._replace(address=Address.parse(context.parent))
    if runner.address.fingerprint:
        return connect(runner, Role.WORKER, context.worker, settings)
    return adopt(*connect_now(runner, Role.WORKER, context.worker, settings))


async def _end_tasks() -> None:
    """Cancel the tasks that the service left running, and wait for their ``finally`` blocks."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


def _leave(code: int, message: str = "") -> NoReturn:
    """End the process without waiting for threads in which user code may still compute."""
    if message:
        print(message, file=sys.stderr)
    flush_output()
    os._exit(code)
