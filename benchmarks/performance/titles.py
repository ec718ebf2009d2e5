"""The titles of plots and series, and times as text."""

from __future__ import annotations

from benchmarks.report import short

SERIES = {
    "ours": "aioparcs",
    "ours_shared": "aioparcs, shared arrays",
    "ours_journal": "aioparcs, with a journal",
    "multiprocessing": "multiprocessing",
    "multiprocessing_chunks": "multiprocessing, in chunks",
    "joblib": "joblib",
    "ray": "Ray",
    "dask": "Dask",
    "ipyparallel": "ipyparallel",
    "mpi4py": "mpi4py",
    "sockets": "blocking sockets",
    "streams": "asyncio streams",
    "zeromq": "pyzmq, asyncio",
    "grpc": "grpc.aio",
    "nats": "NATS, nats-py",
    "copies": "two copies in memory",
}
"""All series, in the order in which they are shown."""

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_BYTES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def time(seconds: float) -> str:
    """Write a time with three digits that count."""
    size, unit = next((one for one in _UNITS if seconds >= one[0]), (1e-6, "µs"))
    return f"{short(seconds / size)} {unit}"


def plain_time(seconds: float) -> str:
    """Write a power of ten, as on an axis."""
    size, unit = next((one for one in _UNITS if seconds >= 0.999 * one[0]), (1e-9, "ns"))
    return f"{round(seconds / size):,} {unit}"


def count(number: float) -> str:
    """Write a number of workers or items."""
    return f"{round(number):,}"


def size(number: float) -> str:
    """Write a number of bytes."""
    unit, name = next((one for one in _BYTES if number >= one[0]), (1, "B"))
    return f"{round(number / unit)} {name}"
