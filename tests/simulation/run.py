"""One history: its seed becomes a program and faults, and what happens is checked."""

from __future__ import annotations

import asyncio
import gc
import io
import random
import sys
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from aioparcs.channel.connection import reader as reader_module
from aioparcs.channel.handshake import dialling as handshake_dialling
from aioparcs.events import EventBus, Notice, program_events
from aioparcs.pool.control import PoolControl
from aioparcs.pool.source import Source
from aioparcs.runner.worker_provider import RunnerWorkers
from aioparcs.settings import Settings
from aioparcs.task import WorkerHandle
from aioparcs.transport import dialling
from tests.simulation import functions, processes
from tests.simulation.checker import check, left_of
from tests.simulation.engine import SimulatedEngine
from tests.simulation.faults import Faults
from tests.simulation.history import History
from tests.simulation.loop import Hang, Host, VirtualLoop, clock
from tests.simulation.network import End, Network
from tests.simulation.program import Program, start

__all__ = ["Outcome", "install", "simulate"]

_LIMIT = 900.0  # virtual seconds of a history
_SETTINGS = Settings(liveness=2.0, close_timeout=2.0, start_timeout=15.0, connect_timeout=3.0, handshake_timeout=3.0)
_END = 30.0  # virtual seconds that launchers and workers have to end after their runner
_networks: list[Network] = []


class Outcome(NamedTuple):
    """
    The outcome of one history.

    Attributes:
        seed: what made it.
        problems: what is wrong.
        program: what the program was.
        history: what has happened.
        steps: how many callbacks have run.
        seconds: how long it took, in virtual time.
    """

    seed: int
    problems: list[str]
    program: Program
    history: History
    steps: int
    seconds: float


def install() -> None:
    """Put the simulated parts in the place of the real ones; the clock is installed before aioparcs is imported."""
    functions.install()
    processes.install()
    replaced = [
        (dialling, "_connect", lambda address: _networks[-1].connect(address)),
        (handshake_dialling, "own_probe", lambda: None),
        (reader_module, "drain_socket", _drain),
    ]
    for module, name, part in replaced:
        setattr(module, name, part)
    for kind in (WorkerHandle, Source, PoolControl, RunnerWorkers):
        kind.__hash__ = _number  # type: ignore[method-assign]  # the order of a set is the same in each run
    gc.collect()
    gc.freeze()
    gc.disable()


def _drain(transport: asyncio.Transport) -> tuple[bytes, bool]:
    assert isinstance(transport, End)
    return transport.drain_socket()


def _number(self: object) -> int:
    number = vars(self).get("_simulated_number")
    if number is None:
        number = vars(self)["_simulated_number"] = asyncio.get_running_loop().next_number()  # type: ignore[attr-defined]
    return int(number)


def simulate(seed: int) -> Outcome:
    """Run the history of a seed, and check it."""
    chance = random.Random(seed)
    random.seed(seed)
    clock.now = begun = 1000.0
    loop, history = VirtualLoop(chance.getrandbits(32), _LIMIT), History()
    asyncio.set_event_loop(loop)
    network = Network(loop, chance.choice((0.0005, 0.005, 0.1)), is_plain=chance.random() < 0.7)
    _networks[:] = [network]
    history.loses_unread = not network.is_plain
    keeps = chance.random() < 0.4
    machines = ["home"] if keeps else [f"node{number}" for number in range(1, chance.randint(2, 4))]
    program = Program(random.Random(chance.getrandbits(32)), history)
    runner = loop.add_host("runner", "home")
    engine = SimulatedEngine(loop, network, history, machines, keeps=keeps)
    faults = Faults(random.Random(chance.getrandbits(32)), loop, network, engine, runner, history, _SETTINGS.liveness)
    for _ in range(program.cancels):
        _sometime(loop, chance, partial(runner.call, program.cancel_one))
    if chance.random() < 0.9:
        faults.plan(chance.choice((1, 2, 4, 8)), chance.choice((0.5, 1.5, 4.0)))
    problems = _play(loop, network, runner, engine, program, history)
    seconds = clock.now - begun
    if not problems:
        problems += check(program, history)
    history.is_over = True
    outcome = Outcome(seed, problems, program, history, loop.steps, seconds)
    _dispose(loop)
    return outcome


def _play(
    loop: VirtualLoop, network: Network, runner: Host, engine: SimulatedEngine, program: Program, history: History
) -> list[str]:
    _no_display(history, runner)
    keep_alive = loop.kernel.context.run(loop.create_task, _keep_alive(network))
    try:
        main = start(runner, program, engine, _SETTINGS)
        if program.exit == "interrupt":
            loop.at_step(program.interrupt, main.cancel)
        _run_to_end(loop, main)
        del main
        gc.collect()
        problems = list(left_of(loop, network, runner))
        runner.kill()
        loop.kernel.context.run(loop.run_until_complete, _wait_ended(loop))
        problems += [f"left on the cluster: {host.name} on {host.machine}" for host in loop.hosts]
    except Hang as hang:
        problems = [f"{hang} at {clock.now - 1000:.3f} s", *_stacks(runner)]
    finally:
        keep_alive.cancel()
    return problems


def _sometime(loop: VirtualLoop, chance: random.Random, callback: Callable[[], object]) -> None:
    """Call something at some time, or between any two callbacks."""
    if chance.random() < 0.5:
        loop.later(chance.random() * 3, callback)
    else:
        loop.at_step(chance.randrange(2500), callback)


def _run_to_end(loop: VirtualLoop, main: asyncio.Task[None]) -> None:
    try:
        loop.run_until_complete(main)
    except asyncio.CancelledError:
        pass


def _no_display(history: History, runner: Host) -> None:
    bus = EventBus(lambda event: history.add("info", event.text) if isinstance(event, Notice) else None)
    runner.add_variable(program_events, bus)


async def _keep_alive(network: Network) -> None:
    while True:
        await asyncio.sleep(0.5)
        network.expire(1.5 * _SETTINGS.liveness)


async def _wait_ended(loop: VirtualLoop) -> None:
    end = clock.now + _END
    while loop.hosts and clock.now < end:  # noqa: ASYNC110  # it costs no time
        await asyncio.sleep(0.5)


def _stacks(host: Host) -> list[str]:
    """Return where each task of a host waits."""
    stacks = []
    for task in host.tasks.values():
        if not task.done():
            text = io.StringIO()
            task.print_stack(file=text)
            stacks.append(text.getvalue())
    return stacks


def _dispose(loop: VirtualLoop) -> None:
    """Forget a history; what the ``finally`` blocks of its processes say when they are closed is no part of it."""
    errors, hook = sys.stderr, sys.unraisablehook
    sys.stderr, sys.unraisablehook = io.StringIO(), lambda _: None
    try:
        loop.kernel.context.run(loop.dispose)
        asyncio.set_event_loop(None)
        loop.close()
        _networks.clear()
        del loop
        gc.collect()
    finally:
        sys.stderr, sys.unraisablehook = errors, hook
