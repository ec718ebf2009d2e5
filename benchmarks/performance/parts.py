"""The parts: what is measured, at which places, and how a round of each is run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import psutil

from benchmarks.harness import Contender, Pair
from benchmarks.items import figures
from benchmarks.performance.records import Figure
from benchmarks.performance.sweep import Begin, Series, Sweep, Taken
from benchmarks.pools import PoolMode, Pools, Round

NAPS = 500  # calls that wait for 10 ms
POOL = 8  # workers that the items are for
_WARM_UP = 100  # calls before the first round
_PATIENCE = 300.0  # seconds for a round: more than a budget, on a machine that is busy
_CHECKED = 5  # messages of a round that compares every one
_ROUND = 32 << 20  # bytes of a timed round, if a message has no more
_MOST = 1000  # messages of a timed round


def workers() -> Sweep:
    """Pools of 1 to 1,000 workers: their start, and 1,000 calls of 10 ms."""
    series = [
        Series("ours", _pools("ours")),
        Series("multiprocessing", _pools("processes")),
        Series("joblib", _pools("joblib_pool"), "joblib"),
        Series("ray", _pools("ray_actors"), "ray"),
        Series("dask", _pools("dask_futures"), "distributed"),
        Series("ipyparallel", _pools("ipyparallel_view"), "ipyparallel"),
        Series("mpi4py", _pools("mpi_futures"), "mpi4py", "mpirun"),
    ]
    return Sweep(series, (1, 4, 16, 64, 256, 1000), "start", 60)


def sizes() -> Sweep:
    """One message there and back, of 64 B to 1 GiB."""
    allowed = 64 << 20
    series = [
        Series("ours", _echo("ours")),
        Series("ours_shared", _echo("ours_shared")),
        Series("sockets", _echo("sockets")),
        Series("streams", _echo("streams")),
        Series("multiprocessing", _echo("connections")),
        Series("zeromq", _echo("zeromq"), "zmq"),
        Series("grpc", _echo("grpc_stream"), "grpc"),
        Series("nats", _echo("nats_requests"), "nats", "nats-server", allowed, "its server allows 64 MiB"),
        Series("mpi4py", _echo("mpi_buffers"), "mpi4py", "mpirun"),
        Series("copies", _echo("copies")),
    ]
    return Sweep(series, tuple(64 << 4 * step for step in range(7)), "round_trip", 60)


def items(keep: Callable[[list[Figure]], object]) -> Sweep:
    """Calls that do nothing, a thousand to ten million, over 8 workers; ``keep`` gets what else of ours is measured."""
    series = [
        Series("ours", _items(PoolMode("ours", "items"), keep)),
        Series("ours_journal", _items(PoolMode("ours", "journal"), keep)),
        Series("multiprocessing", _items(PoolMode("processes"))),
        Series("multiprocessing_chunks", _items(PoolMode("processes", "chunks"))),
        Series("joblib", _items(PoolMode("joblib_pool", "chunks")), "joblib"),
        Series("ray", _items(PoolMode("ray_actors")), "ray"),
        Series("dask", _items(PoolMode("dask_futures")), "distributed"),
        Series("ipyparallel", _items(PoolMode("ipyparallel_view")), "ipyparallel"),
        Series("mpi4py", _items(PoolMode("mpi_futures")), "mpi4py", "mpirun"),
    ]
    return Sweep(series, (1000, 10_000, 100_000, 1_000_000, 10_000_000), "items", 100)


def free_gib() -> float:
    """Return the memory that is free, or would be at once."""
    return float(psutil.virtual_memory().available / 2**30)


def _pools(name: str) -> Begin:
    @contextmanager
    def begin(count: int) -> Iterator[Callable[[], Taken]]:
        yield partial(_start, name, count)

    return begin


def _start(name: str, count: int) -> Taken:
    """Start a pool, and make the calls."""
    free, start = free_gib(), time.perf_counter()
    with Pools({name}, count, _PATIENCE) as pools:
        seconds = time.perf_counter() - start
        naps = pools.run_round(PoolMode(name, "pause"), NAPS).seconds
        gib = free - free_gib()
    return Taken({"start": seconds, "naps": naps}, gib)


def _echo(name: str) -> Begin:
    @contextmanager
    def begin(size: int) -> Iterator[Callable[[], Taken]]:
        count = min(_MOST, max(1, _ROUND // size))
        with Pair(Contender(f"echoes.{name}", str(size), count, min(_CHECKED, count))) as pair:
            pair.check()
            yield lambda: Taken({"round_trip": pair.round() / count}, 8 * size / 2**30)

    return begin


def _items(pool_mode: PoolMode, keep: Callable[[list[Figure]], object] | None = None) -> Begin:
    @contextmanager
    def begin(count: int) -> Iterator[Callable[[], Taken]]:
        with Pools({pool_mode.pool}, POOL, _PATIENCE) as pools:
            pools.run_round(pool_mode, _WARM_UP)

            def run() -> Taken:
                taken: Round = pools.run_round(pool_mode, count)
                if keep and taken.more["seconds_of_parts"]:
                    keep([Figure.of(measured) for measured in figures(pool_mode, taken)])
                return Taken({"items": taken.seconds})

            yield run

    return begin
