"""
One node: a dockerd that believes to be alone on a machine of its own.

It has its own network, mounts, host name, processes and ``/run``, all in the namespaces of one small first process.
When that one is killed the kernel ends every other process of the node, containers too, and drops its mounts.
"""

import json
import signal
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.cluster import namespaces, network
from tests.cluster.command import ClusterError, detach, execute, until

__all__ = ["Node"]

PORT = 4321  # the original's port of the Docker API
_START = 60.0  # seconds until dockerd must answer, on a busy machine
_READY = 90.0  # seconds until the swarm must say that a node is back
_FIRST = 'hostname "$0" && mount -t tmpfs tmpfs /run && exec docker-init -- sleep infinity'


@dataclass(frozen=True, slots=True)
class Node:
    """
    Attributes:
        name: its host name, as `docker node ls` tells it.
        address: its IPv4 address.
        folder: where its dockerd keeps everything.
        manager: the socket of the first node's dockerd.
    """

    name: str
    address: str
    folder: Path
    manager: Path

    @property
    def url(self) -> str:
        """The Docker API over TCP, for LEADER_URL."""
        return f"tcp://{self.address}:{PORT}"

    @property
    def socket(self) -> Path:
        """The Docker API's Unix socket."""
        return self.folder / "docker.sock"

    @property
    def containers(self) -> Path:
        """Where its dockerd keeps what it knows of containers, and their logs."""
        return self.folder / "data" / "containers"

    @property
    def namespace(self) -> str:
        """The name of its network namespace."""
        return namespaces.PREFIX + self.name

    @property
    def command(self) -> tuple[str, ...]:
        """What runs a command on the node: before the command's own words."""
        first = namespaces.first_process(self.namespace)
        if first is None:
            raise ClusterError(f"{self.name} is not there; `python -m tests.cluster up` brings it up")
        return ("nsenter", "--target", str(first.pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--")

    def docker(self, *arguments: str | Path, timeout: float = 120) -> str:
        """
        Run the docker client against this node's dockerd and give its output.

        Raises:
            ClusterError: it failed or took longer than `timeout` seconds.
        """
        return execute("docker", "-H", f"unix://{self.socket}", *arguments, timeout=timeout)

    def start(self, registry: str) -> None:
        """Start the node with its dockerd, or what is missing of it; `answers` tells when it is there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        network.plug(self.name, self.address)
        if namespaces.first_process(self.namespace) is None:
            own = ("--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc")
            inside = ("nsenter", f"--net={namespaces.file(self.namespace)}", "unshare", *own)
            detach(self._log, *inside, "sh", "-c", _FIRST, self.name)
            until(self._has_begun, _START, f"{self.name} does not begin: see {self._log}")
        self._configuration.write_text(json.dumps({"insecure-registries": [registry]}))
        self._start_dockerd()

    def wait_answers(self) -> None:
        """Wait until the dockerd answers."""
        until(self.answers, _START, f"dockerd of {self.name} does not answer: see {self._log}")

    def answers(self) -> bool:
        """Return whether the dockerd is there."""
        try:
            return bool(self.docker("version", "--format", "{{.Server.Version}}", timeout=30))
        except ClusterError:
            return False

    def runs(self) -> bool:
        """Return whether the node has a process that is a dockerd."""
        return bool(self._dockerds())

    def state(self) -> str:
        """Return the node's state from the swarm's manager: ready, down or unknown; absent when there is no answer."""
        return self._states().get(self.name, "absent")

    def cut(self) -> None:
        """Drop all its packets silently, in both directions."""
        network.set_port(self.name, forwards=False)

    def restore(self) -> None:
        """Forward its packets again, and wait until the swarm has it back."""
        network.set_port(self.name, forwards=True)
        self.wait_ready()

    def cap(self, rate: str) -> None:
        """Slow its network down, each way; see `network.cap`."""
        network.cap(self.name, rate)

    def uncap(self) -> None:
        """Remove the limit of its network."""
        network.uncap(self.name)

    def kill(self) -> None:
        """Kill its dockerd, which can do nothing about it: its containers run on without it."""
        self.signal(signal.SIGKILL)
        until(lambda: not self.runs(), _START, f"dockerd of {self.name} outlives SIGKILL")

    def revive(self) -> None:
        """Start its dockerd again, which ends the containers that it finds, and wait until the swarm has it back."""
        self._start_dockerd()
        self.wait_answers()
        self.wait_ready()

    def signal(self, number: int) -> None:
        """Send its dockerd a signal."""
        for process in self._dockerds():
            process.send_signal(number)

    def wait_ready(self) -> None:
        """Wait until the swarm has it back."""
        until(self._is_back, _READY, f"the swarm does not have {self.name} back")

    def renew(self) -> None:
        """
        Restart its dockerd after its network was cut, which ends its containers.

        Until then the manager may refuse to read the logs of this node: it forgets the node's new subscription to log
        requests when the old one, of before the cut, ends later.
        """
        self.kill()
        self.revive()

    @property
    def _log(self) -> Path:
        return self.folder / "dockerd.log"

    @property
    def _configuration(self) -> Path:
        return self.folder / "daemon.json"

    def _dockerds(self) -> list[psutil.Process]:
        return [process for process in namespaces.processes(self.namespace) if namespaces.has_name(process, "dockerd")]

    def _has_begun(self) -> bool:
        first = namespaces.first_process(self.namespace)
        return first is not None and namespaces.has_name(first, "docker-init", "tini", "tini-static")

    def _start_dockerd(self) -> None:
        if self.runs():
            return
        pidfile = self.folder / "dockerd.pid"
        pidfile.unlink(missing_ok=True)  # of one that was killed: its number may be another process's by now
        detach(
            self._log, *self.command, "dockerd", "--config-file", self._configuration,
            "--data-root", self.folder / "data", "--exec-root", self.folder / "exec", "--pidfile", pidfile,
            "-H", f"unix://{self.socket}", "-H", "unix:///run/docker.sock", "-H", self.url, "--tls=false",
            "--cgroup-parent", f"/{self.name}", "--exec-opt", "native.cgroupdriver=cgroupfs",
        )  # fmt: skip

    def _is_back(self) -> bool:
        """Return whether it is ready and, when it is the manager, has the others' states again."""
        try:
            states = self._states()
        except ClusterError:  # the manager itself is coming back
            return False
        return states.get(self.name) == "ready" and "unknown" not in states.values()

    def _states(self) -> dict[str, str]:
        """Ask the manager for the states of all nodes; one that is joining may have no name yet."""
        manager = f"unix://{self.manager}"
        lines = execute("docker", "-H", manager, "node", "ls", "--format", "{{.Status}} {{.Hostname}}", timeout=_START)
        parted = (line.partition(" ") for line in lines.splitlines())
        return {name: state.lower() for state, _, name in parted}
