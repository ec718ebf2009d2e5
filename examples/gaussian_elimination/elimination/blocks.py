"""Gaussian elimination by blocks of columns, with the largest pivot of each column."""

import numpy as np


def factorise(rows: np.ndarray, pivots: int) -> tuple[np.ndarray, np.ndarray]:
    """Eliminate below the diagonal of the first columns, in place; give the order of the rows, and the factors."""
    order = np.arange(len(rows))
    for column in range(pivots):
        best = column + int(np.abs(rows[column:, column]).argmax())
        if rows[best, column] == 0:
            raise ValueError("these equations have no solution, or more than one")
        rows[[column, best]] = rows[[best, column]]
        order[[column, best]] = order[[best, column]]
        below = slice(column + 1, None)
        rows[below, column] /= rows[column, column]
        rows[below, below] -= np.outer(rows[below, column], rows[column, below])
    return order, rows[:, :pivots]


def reduce(rows: np.ndarray, order: np.ndarray, factors: np.ndarray) -> None:
    """Do to other columns, in place, what was done to those of the factors."""
    pivots = factors.shape[1]
    rows[:] = rows[order]
    rows[:pivots] = np.linalg.solve(np.tril(factors[:pivots], -1) + np.eye(pivots), rows[:pivots])
    rows[pivots:] -= factors[pivots:] @ rows[:pivots]
