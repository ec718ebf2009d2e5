"""The faults of a history: what they are, and when they come."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from tests.simulation.engine import SimulatedEngine
from tests.simulation.history import History
from tests.simulation.loop import Host, VirtualLoop
from tests.simulation.network import Connection, Network
from tests.simulation.processes import Launcher

__all__ = ["CONNECTION_FAULTS", "Faults"]

CONNECTION_FAULTS = frozenset({"reset", "hold", "delay", "cut", "lose machine", "runner stands still"})
"""The faults that connections suffer from."""


class Faults:
    """
    Makes faults happen.

    Args:
        seed: chooses them.
        loop, network, engine: what they happen to.
        runner: the host of the runner.
        history: gets them.
        liveness: the setting of the history.
    """

    def __init__(
        self,
        random: Random,
        loop: VirtualLoop,
        network: Network,
        engine: SimulatedEngine,
        runner: Host,
        history: History,
        liveness: float,
    ) -> None:
        self._random = random
        self._loop = loop
        self._network = network
        self._engine = engine
        self._runner = runner
        self._history = history
        self._liveness = liveness
        self._kinds: dict[str, Callable[[], str | None]] = {
            "kill worker": self._kill_worker,
            "terminate worker": self._terminate_worker,
            "stop worker": self._stop_worker,
            "kill agent": self._kill_agent,
            "kill fork server": self._kill_server,
            "stop fork server": self._stop_server,
            "drain": self._drain,
            "reset": self._reset,
            "hold": self._hold,
            "delay": self._delay,
            "cut": self._cut,
            "lose machine": self._lose_machine,
            "stop runner": self._stop_runner,
            "runner stands still": self._stand_still,
        }

    def plan(self, count: int, span: float) -> None:
        """Cause some faults within a time, some of them at the same moment."""
        kinds = self._random.sample(sorted(self._kinds), self._random.randint(1, 4))
        when = 0.0
        for _ in range(count):
            if self._random.random() > 0.2:
                when = self._random.random() ** 2 * span
            kind = self._random.choice(kinds)
            if self._random.random() < 0.5:
                self._loop.later(when, self._happen, kind)
            else:
                self._loop.at_step(self._random.randrange(2500), partial(self._happen, kind))

    def _happen(self, kind: str, tries: int = 5) -> None:
        if self._runner.is_dead:
            return
        if (what := self._kinds[kind]()) is not None:
            self._history.fault(kind, what)
        elif tries:  # there is nothing yet that it could happen to
            self._loop.later(0.05 + self._random.random() / 2, self._happen, kind, tries - 1)

    # Choices

    def _long(self) -> float:
        """Return a time that is shorter or longer than the liveness."""
        return self._random.choice([0.05, 0.4, 1.5, 3.0]) * self._liveness * (0.5 + self._random.random())

    def _launcher(self) -> Launcher | None:
        launchers = [one for one in self._engine.launchers.values() if not one.server.is_dead]
        return self._random.choice(launchers) if launchers else None

    def _connection(self) -> Connection | None:
        connections = list(self._network.connections.values())
        return self._random.choice(connections) if connections else None

    # Processes

    def _kill_worker(self) -> str | None:
        if not (launcher := self._launcher()) or not launcher.workers:
            return None
        process = self._random.choice(list(launcher.workers.values()))
        self._history.deaths[process.worker] = "killed"
        process.host.kill()
        return process.host.name

    def _terminate_worker(self) -> str | None:
        if not (launcher := self._launcher()) or not launcher.workers:
            return None
        process = self._random.choice(list(launcher.workers.values()))
        self._history.deaths[process.worker] = "terminated"
        process.terminate()
        return process.host.name

    def _stop_worker(self) -> str | None:
        if not (launcher := self._launcher()) or not launcher.workers:
            return None
        process = self._random.choice(list(launcher.workers.values()))
        process.host.stop(seconds := self._long())
        return f"{process.host.name} for {seconds:.3f}"

    def _kill_agent(self) -> str | None:
        launcher = self._launcher()
        if not launcher or launcher.agent.is_dead:
            return None
        launcher.agent.kill()
        return launcher.agent.name

    def _kill_server(self) -> str | None:
        if not (launcher := self._launcher()):
            return None
        launcher.server.kill()
        return launcher.server.name

    def _stop_server(self) -> str | None:
        if not (launcher := self._launcher()):
            return None
        launcher.server.stop(seconds := self._long())
        return f"{launcher.server.name} for {seconds:.3f}"

    def _drain(self) -> str | None:
        if not (launcher := self._launcher()):
            return None
        launcher.server.call(launcher.terminate)
        return launcher.server.name

    # Connections and machines

    def _reset(self) -> str | None:
        if not (connection := self._connection()):
            return None
        connection.reset()
        return _name(connection)

    def _hold(self) -> str | None:
        if not (connection := self._connection()):
            return None
        end, seconds = self._random.choice(connection.ends), self._long()
        end.hold(seconds)
        return f"what {end.host.name} sends to {end.peer.host.name} for {seconds:.3f}"

    def _delay(self) -> str | None:
        if not (connection := self._connection()):
            return None
        connection.extra = self._long() / 10
        return f"{_name(connection)} by {connection.extra:.3f}"

    def _machine(self) -> str | None:
        machines = {one.machine for one in self._engine.launchers.values()} - self._engine.lost - {self._runner.machine}
        return self._random.choice(sorted(machines)) if machines else None

    def _cut(self) -> str | None:
        if not (machine := self._machine()):
            return None
        self._network.cut(machine)
        seconds = self._long()
        self._loop.later(seconds, self._network.heal, machine)
        return f"{machine} for {seconds:.3f}"

    def _lose_machine(self) -> str | None:
        if not (machine := self._machine()) or not self._engine.may_lose(machine):
            return None
        self._network.cut(machine)
        self._engine.lost.add(machine)
        for host in self._loop.hosts:
            if host.machine == machine:
                host.kill()
        return machine

    def _stop_runner(self) -> str:
        self._runner.stop(seconds := self._long())
        return f"for {seconds:.3f}"

    def _stand_still(self) -> str:
        self._network.stand_still(self._runner.machine, seconds := self._long())
        return f"for {seconds:.3f}"


def _name(connection: Connection) -> str:
    return f"{connection.ends[0].host.name} to {connection.ends[1].host.name}"
