"""Ray: a put into its object store, and a get of each worker. A store that was used before keeps its memory."""

from __future__ import annotations

import tempfile
from typing import Any

import psutil
import ray

from benchmarks.peers.arrays import control
from benchmarks.peers.control import expect

_PATIENCE = 30  # seconds for Ray's processes to end


class _Getter:
    def get(self, references: list[Any]) -> float:
        return control.total(ray.get(references[0]))


_Actor: Any = ray.remote(num_cpus=1)(_Getter)


def _main() -> None:
    constant, small = control.array_of(control.CONSTANT), control.array_of(control.ITEM)
    ray.init(
        num_cpus=control.WORKERS,
        object_store_memory=3 * control.CONSTANT,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _temp_dir=tempfile.gettempdir(),  # else it leaves a folder in /tmp
    )
    try:
        actors = [_Actor.remote() for _ in range(control.WORKERS)]
        ray.get([actor.get.remote([ray.put(small)]) for actor in actors])

        def setup() -> float:
            start = control.clock()
            reference = ray.put(constant)
            sums = ray.get([actor.get.remote([reference]) for actor in actors])
            seconds = control.clock() - start
            control.check(sums, control.total(constant), control.WORKERS)
            return seconds

        control.serve_rounds({"setup": setup})
    finally:
        started = psutil.Process().children(recursive=True)
        ray.shutdown()
        left = psutil.wait_procs(started, timeout=_PATIENCE)[1]
        expect(not left, f"Ray has left {left}")


if __name__ == "__main__":
    _main()
