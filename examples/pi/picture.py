"""The picture of an estimate that becomes better."""

import numpy as np
from matplotlib import pyplot


def draw(estimates: list[tuple[int, float]], path: str) -> None:
    """Draw the estimates of pi over the numbers of darts, and where two of three of them are to be expected."""
    darts, values = np.array(estimates).T
    error = 4 * np.sqrt(np.pi / 4 * (1 - np.pi / 4) / darts)
    figure, axes = pyplot.subplots(figsize=(8, 4), dpi=100)
    axes.fill_between(darts, np.pi - error, np.pi + error, color="tab:blue", alpha=0.15, label="expected error")
    axes.axhline(np.pi, color="gray", linewidth=1, label="pi")
    axes.plot(darts, values, color="crimson", label="estimate")
    axes.set(xscale="log", xlabel="darts", ylim=(np.pi - 3 * error[0] / 2, np.pi + 3 * error[0] / 2))
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
