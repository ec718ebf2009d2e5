"""Functions that take and return arrays, and say where these lie."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np

from aioparcs import serve, shared_array

constants: dict[str, Any] = {}
kept: list[Any] = []


def place(array: Any) -> int:
    """Return the number of the shared memory that an array lies in, 0 for other memory."""
    begin = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, _, _, _, number, *name = line.split()
        first, last = (int(address, 16) for address in addresses.split("-"))
        if first <= begin < last:
            return int(number) if name and "memfd:aioparcs" in name[0] else 0
    return 0


def setup(**values: Any) -> None:
    constants.update(values)


def where(array: Any) -> list[Any]:
    return [place(array), float(array.sum()), array.flags.writeable, os.getpid()]


def where_constant(_: Any = None) -> list[Any]:
    return where(constants["array"])


def doubled(array: Any) -> Any:
    result = shared_array(array.shape, array.dtype)
    np.multiply(array, 2, out=result)
    return result


def same(array: Any) -> Any:
    return array


def keep(array: Any) -> int:
    kept.append(array)
    return os.getpid()


def die_once(path: str, array: Any) -> list[Any]:
    """Die in the first call, with the array."""
    if not os.path.exists(path):
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return where(array)


def pid(_: Any = None) -> int:
    return os.getpid()


if __name__ == "__main__":
    serve(where, setup, where_constant, doubled, same, keep, die_once, pid)
