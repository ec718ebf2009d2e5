"""Functions that take arrays; what they do with them is to look at each page."""

import hashlib
import os
from typing import Any

import numpy as np

from aioparcs import serve

constants: dict[str, Any] = {}


def setup(array: Any = None) -> None:
    array = np.empty(0) if array is None else array
    constants["array"] = array
    constants["sum"] = float(array[::512].sum())


def constant(number: int) -> tuple[int, float, str]:
    """Return this process, and what `setup` was called with: the sum of a number of each page, and perhaps a hash."""
    digest = hashlib.blake2b(constants["array"].data).hexdigest() if number < 0 else ""
    return os.getpid(), constants["sum"], digest


def total(array: Any) -> float:
    return float(array[::512].sum())


serve(setup, constant, total)
