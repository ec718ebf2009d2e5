"""
Actors of Ray, many calls in flight to each.

What Ray's documentation says on tiny tasks is to make them larger ("Over-parallelizing with too fine-grained tasks
harms speedup"), which is no longer a call by itself. Of what it has for calls, all tried here with 20,000:

- Calls in flight to each actor, as many as a bound allows, with the next ones sent whenever ``ray.wait`` gives some:
  the fastest, and best of all with 128 for each actor (64 to 512 differ little). It is what stands below.
  https://docs.ray.io/en/latest/ray-core/patterns/limit-pending-tasks.html
- All 20,000 calls at once and one ``ray.get`` of all: a fifth slower.
- ``ActorPool.map_unordered``, one call in flight to each actor: more than twice as slow.
  https://docs.ray.io/en/latest/ray-core/actors/actor-utils.html
- Tasks in place of actors: more than twice as slow.

The events that Ray records of every call for its dashboard are off; that saves up to a fifth.
"""

from __future__ import annotations

import os
import sys
import tempfile
from functools import partial
from typing import Any

import psutil
import ray

from benchmarks.peers.calls import control
from benchmarks.peers.control import expect

_IN_FLIGHT = 128  # calls for each actor
_PATIENCE = 30  # seconds for Ray's processes to end


class _Calls:
    def noop(self, number: int) -> int:
        return control.noop(number)

    def pause(self, number: int) -> int:
        return control.pause(number)[0]

    def pid(self) -> int:
        return os.getpid()


_Actor: Any = ray.remote(num_cpus=1, enable_task_events=False)(_Calls)  # Ray adds what its types do not tell


def _main(workers: int) -> None:
    ray.init(
        num_cpus=workers,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _temp_dir=tempfile.gettempdir(),  # else it leaves a folder in /tmp
    )
    try:
        actors = [_Actor.remote() for _ in range(workers)]
        control.check_workers(ray.get([actor.pid.remote() for actor in actors]), workers)

        def call(method: str, count: int) -> list[int]:
            numbers = iter(range(count))
            busy = {
                getattr(actor, method).remote(n): actor for actor, n in zip(actors * _IN_FLIGHT, numbers, strict=False)
            }
            answers: list[int] = []
            while busy:
                ready, _ = ray.wait(list(busy), num_returns=-(-len(busy) // 2))
                answers += ray.get(ready)
                idle = [busy.pop(call) for call in ready]
                busy.update((getattr(actor, method).remote(n), actor) for actor, n in zip(idle, numbers, strict=False))
            return answers

        control.run_rounds({"noop": partial(call, "noop"), "pause": partial(call, "pause")})
    finally:
        started = psutil.Process().children(recursive=True)
        ray.shutdown()
        left = psutil.wait_procs(started, timeout=_PATIENCE)[1]
        expect(not left, f"Ray has left {left}")


if __name__ == "__main__":
    _main(int(sys.argv[1]))
