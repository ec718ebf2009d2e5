"""
The runner that ends at some step: ``program.py MODULE`` on the Swarm, ``program.py MODULE WAY TURN`` on this machine.

It has a secret, starts a worker and a pool, and says on its standard output how far it is. A turn is one of its event
loop: between two of them each of its tasks has gone on to its next await.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable

from aioparcs import Runner, run
from aioparcs.credentials import give_secrets

MODULE = sys.argv[1]


class CountingLoop(asyncio.SelectorEventLoop):
    """
    An event loop of asyncio that has something happen before one of its turns.

    Attributes:
        turns: how many it has made.
        fault: what happens; to be set in the first turn, so none can happen before that.
    """

    def __init__(self, at: int) -> None:
        super().__init__()
        self.turns = 0
        self.fault: Callable[[], object]
        self._at = at

    def _run_once(self) -> None:
        if self.turns == self._at:
            self.fault()
        self.turns += 1
        super()._run_once()  # type: ignore[misc]  # asyncio's own, which its types leave out


def say(stage: str) -> None:
    print(stage, flush=True)


async def work(runner: Runner) -> None:
    say(f"job {runner.job}")
    async with runner.start(MODULE) as task:
        say("connected")
        assert await task.call("add", 1) == 2
    say("worked")
    async with runner.pool(MODULE, 2, function="add", progress=False) as pool:
        assert await pool.map([1, 2, 3]) == [2, 3, 4]
        say("mapped")
    say("ending")


async def until_turn(loop: CountingLoop, way: str) -> None:
    task = asyncio.current_task()
    assert task
    loop.fault = task.cancel if way == "cancel" else lambda: os.kill(os.getpid(), signal.SIGKILL)
    try:
        async with Runner() as runner:
            await work(runner)
    except asyncio.CancelledError:
        say("cancelled")
    say(f"{loop.turns} turns")


def main() -> None:
    give_secrets({"password": b"hunter2"})
    if len(sys.argv) == 2:
        run(work)
        return
    way, turn = sys.argv[2], int(sys.argv[3])
    loop = CountingLoop(turn)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(until_turn(loop, way))


if __name__ == "__main__":
    main()
