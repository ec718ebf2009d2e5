"""Tell how soon points of the plane escape from the Mandelbrot set."""

import numpy as np

from aioparcs import serve

FAR = 64  # a point that is this far away never comes back

real: np.ndarray  # of the points of a row
limit: int  # steps after which a point counts as one that stays


def escape(imaginary: np.ndarray) -> np.ndarray:
    """Give the steps (not whole ones, so that colours are smooth) of the points of some rows; 0 for those that stay."""
    c = (real + 1j * imaginary[:, None]).ravel()
    steps = np.zeros(c.size, dtype="f4")
    z, inside = np.zeros_like(c), np.arange(c.size)
    for step in range(limit):
        z = z * z + c[inside]
        distance = np.abs(z)
        gone = distance > FAR
        steps[inside[gone]] = step + 2 - np.log2(np.log2(distance[gone]))
        z, inside = z[~gone], inside[~gone]
    return steps.reshape(len(imaginary), len(real))


def setup(columns: np.ndarray, iterations: int) -> None:
    """Take what is the same for all rows."""
    global real, limit
    real, limit = columns, iterations


serve(escape, setup)
