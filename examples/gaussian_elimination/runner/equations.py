"""Equations to solve, and the last step of solving them."""

import numpy as np


def equations(size: int, seed: int = 2) -> np.ndarray:
    """Make a random system: a row for each equation, with its right side in the last column."""
    return np.random.default_rng(seed).normal(size=(size, size + 1))


def substitute(triangle: np.ndarray) -> np.ndarray:
    """Solve equations of which the last has one unknown, the one before it two, and so on."""
    solution = triangle[:, -1].copy()
    for row in reversed(range(len(solution))):
        solution[row] = (solution[row] - triangle[row, row + 1 : -1] @ solution[row + 1 :]) / triangle[row, row]
    return solution
