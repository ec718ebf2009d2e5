"""The context of launchers and workers: what they run, and the environment variables that say where they belong."""

from __future__ import annotations

import os
from typing import NamedTuple, Protocol, Self

from aioparcs.address import Address
from aioparcs.auth import TOKEN_SIZE
from aioparcs.channel import ResultLog
from aioparcs.errors import SettingError

__all__ = ["RunnerEndpoint", "WorkerContext", "WorkerProgram", "pass_token"]


class WorkerContext(NamedTuple):
    """
    A worker's place in its job.

    Attributes:
        worker: its number in the job.
        rank: its number among those started together, from 0.
        size: how many were started together.
        progress: the descriptor that its progress is written to.
        parent: where the service that started it listens, "" if the runner did.
        records: the descriptor of the records of calls with a time limit, -1 for none.
        result_log: where it writes down what its launcher should know when it is gone; None for a fresh interpreter.
    """

    worker: int
    rank: int
    size: int
    progress: int
    parent: str = ""
    records: int = -1
    result_log: ResultLog | None = None

    def encode(self) -> str:
        """Return the text from which `decode` makes this place in a process that inherits the descriptor."""
        return f"{self.worker},{self.rank},{self.size},{self.progress},{self.records},{self.parent}"

    @classmethod
    def decode(cls, text: str) -> Self:
        """
        Return the place of a text.

        Raises:
            ValueError: it holds none.
        """
        worker, rank, size, progress, records, parent = text.split(",", 5)
        return cls(int(worker), int(rank), int(size), int(progress), parent, int(records))


class WorkerProgram(Protocol):
    """The program of a launcher's workers."""

    @property
    def name(self) -> str:
        """What its workers are called, before their numbers."""

    def run(self, context: WorkerContext) -> int:
        """Run a worker's program in its process, and return the exit code."""

    def prewarm(self) -> None:
        """Run once what each forked worker will run, and leave no loop or thread behind."""


class RunnerEndpoint(NamedTuple):
    """
    The runner's address, and the token that proves that a process belongs to its job.

    Attributes:
        address: where to dial.
        job: the job's name.
        slot: the launcher's number.
        token: the job's secret.
        context: the worker that this process is to be, None for a launcher.
        peers: the comma-separated subnets in which workers reach each other; "" when they can't; None when they reach
            each other wherever they reach the runner.
        target: the function or class of the runner's own program that is served, see `QualifiedName`; None for a module
            with a folder of its own.
        path: what ``sys.path`` is in a process that imports it, as JSON.
    """

    address: Address
    job: str
    slot: int
    token: bytes
    context: WorkerContext | None
    peers: str | None = None
    target: str | None = None
    path: str | None = None

    @classmethod
    def from_env(cls) -> RunnerEndpoint | None:
        """
        Read these variables, and remove them from the environment; None if there are none.

        Raises:
            SettingError: the variables are incomplete.
        """
        runner = os.environ.pop("PARCS_RUNNER", None)
        if runner is None:
            return None
        context = os.environ.pop("PARCS_PLACE", None)
        try:
            if "PARCS_SECRETS_FD" in os.environ:
                from aioparcs.credentials import given_secrets  # few jobs have any

                given_secrets()
            return cls(
                Address.parse(runner),
                os.environ["PARCS_JOB"],
                int(os.environ.pop("PARCS_FIRST_SLOT", "0")) + int(os.environ.pop("PARCS_SLOT", "0")),
                _read_token(),
                WorkerContext.decode(context) if context else None,
                os.environ.pop("PARCS_PEERS", None),
                os.environ.pop("PARCS_TARGET", None),
                os.environ.pop("PARCS_PATH", None),
            )
        except (KeyError, ValueError, OSError) as error:
            raise SettingError(f"the environment that the engine should have set is incomplete: {error!r}") from error

    def to_env(self, token_fd: int) -> dict[str, str]:
        """Return the variables that `from_env` reads in a process that inherits ``token_fd``."""
        variables = {
            "PARCS_RUNNER": str(self.address),
            "PARCS_JOB": self.job,
            "PARCS_SLOT": str(self.slot),
            "PARCS_TOKEN_FD": str(token_fd),
        }
        if self.context:
            variables["PARCS_PLACE"] = self.context.encode()
        optional = {"PARCS_PEERS": self.peers, "PARCS_TARGET": self.target, "PARCS_PATH": self.path}
        return variables | {name: value for name, value in optional.items() if value is not None}


def pass_token(token: bytes) -> int:
    """Write a token to a pipe that the one process that inherits it reads: no file, no environment, no command line."""
    reading, writing = os.pipe()
    os.write(writing, token)
    os.close(writing)
    return reading


def _read_token() -> bytes:
    path = os.environ.pop("PARCS_TOKEN_FILE", None)
    if path is not None:
        with open(path) as file:
            return bytes.fromhex(file.read())
    descriptor = int(os.environ.pop("PARCS_TOKEN_FD"))
    try:
        return os.read(descriptor, TOKEN_SIZE)
    finally:
        os.close(descriptor)
