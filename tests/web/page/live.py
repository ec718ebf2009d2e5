"""The server of the page as users start it, and a program that hangs until it may go on."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.command import COMMAND, ENVIRONMENT, TIMEOUT

__all__ = ["HANGING", "PROGRAM", "Job", "Ui", "job", "ui"]

HANGING = 30
"""The item that hangs, while there is no file that the variable GATE names."""

PROGRAM = f"""
import os
import time
from pathlib import Path

from aioparcs import Runner, run

GATE = Path(os.environ["GATE"])


def work(n: int) -> int:
    print(f"item {{n}} in {{os.getpid()}} <script>window.hacked = 1</script>", flush=True)
    if n == 5:
        raise ValueError("five <script>window.hacked = 1</script>")
    while n == {HANGING} and not GATE.exists():
        time.sleep(0.02)
    time.sleep(0.02)
    return n


async def main(runner: Runner) -> None:
    async with runner.pool(work, 3) as pool:
        results = await pool.map(range(100), return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            print(f"{{type(result).__name__}}: {{result}}", flush=True)


run(main)
"""


class Ui:
    """
    A running ``aioparcs ui``.

    Args:
        options: those of the command.
        variables: of its environment.
    """

    def __init__(self, *options: str, **variables: str) -> None:
        self._options = options
        self._variables = variables
        self.port = 0
        self.start()

    @property
    def origin(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, on the port of the last time if there was one, and read its address."""
        command = [*COMMAND, "ui", "--port", str(self.port), *self._options]
        self._process = subprocess.Popen(
            command, env=_environment() | self._variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self._process.stdout
        self.address = self._process.stdout.readline().strip()
        self.port = int(self.address.split(":")[2].split("/")[0])

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)
        with self._process:
            self._process.wait(TIMEOUT)


class Job:
    """
    A running program.

    Args:
        folder: where it is put.
        program: its code.
        variables: of its environment.
    """

    def __init__(self, folder: Path, program: str, variables: dict[str, str]) -> None:
        self._gate, self._output = folder / "gate", folder / "output"
        (folder / "main.py").write_text(program)
        environment = _environment() | {"GATE": str(self._gate)} | variables
        with self._output.open("w") as output:
            self._process = subprocess.Popen(
                [COMMAND[0], "main.py"], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.DEVNULL,
            )  # fmt: skip

    @property
    def output(self) -> str:
        """What the program has printed, such as the exceptions that its calls have raised."""
        return self._output.read_text()

    def release(self) -> None:
        """Allow the item that hangs to go on."""
        self._gate.touch()

    def wait(self) -> int:
        """Wait until the program has ended, and return its exit code."""
        return self._process.wait(TIMEOUT)

    def end(self) -> None:
        """Kill the program if it still runs."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(TIMEOUT)
            finally:
                self._process.kill()
                self._process.wait()


def _environment() -> dict[str, str]:
    state = os.environ["XDG_STATE_HOME"]  # of this test, perhaps set since
    return ENVIRONMENT | {"XDG_STATE_HOME": state}


@contextmanager
def ui(*options: str, **variables: str) -> Iterator[Ui]:
    """Serve the page while the block runs."""
    running = Ui(*options, **variables)
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def job(folder: Path, program: str = PROGRAM, **variables: str) -> Iterator[Job]:
    """Run a program while the block runs, by default that with the item that hangs."""
    folder.mkdir()
    running = Job(folder, program, variables)
    try:
        yield running
    finally:
        running.end()
