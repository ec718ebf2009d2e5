"""Hills, the cost of walking over them, and a picture of the shortest ways."""

import numpy as np

STEPS = [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)]


def hills(side: int, seed: int = 5) -> np.ndarray:
    """Make heights from 0 to 1 for a square of side x side points: waves of all lengths, long ones highest."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = np.inf
    heights = np.fft.ifft2(np.fft.fft2(random.normal(size=(side, side))) / frequency**1.9).real
    return (heights - heights.min()) / max(np.ptp(heights), 1e-9)


def walking(heights: np.ndarray) -> np.ndarray:
    """Make the table of distances between neighbours: a step costs its length, and much more when it is steep."""
    side = len(heights)
    points = np.arange(side * side).reshape(side, side)
    distances = np.full((side * side, side * side), np.inf)
    np.fill_diagonal(distances, 0)
    for down, right in STEPS:
        here = (slice(max(0, -down), side - max(0, down)), slice(max(0, -right), side - max(0, right)))
        there = (slice(max(0, down), side + min(0, down)), slice(max(0, right), side + min(0, right)))
        climb = side * np.abs(heights[there] - heights[here])
        distances[points[here], points[there]] = np.hypot(down, right) + 3 * climb**2
    return distances


def way(steps: np.ndarray, distances: np.ndarray, here: int, goal: int) -> list[int]:
    """Walk from a point to another: each step is one that lies on a shortest way."""
    points = [here]
    while here != goal:
        ahead = steps[here] + distances[:, goal]
        ahead[here] = np.inf
        here = int(np.argmin(ahead))
        points.append(here)
    return points


def draw(heights: np.ndarray, steps: np.ndarray, distances: np.ndarray, path: str) -> None:
    """Draw the shortest ways from the middle to points at the border."""
    from matplotlib import pyplot

    side = len(heights)
    middle = (side // 2) * side + side // 2
    figure, axes = pyplot.subplots(figsize=(6, 6), dpi=100)
    axes.imshow(heights, cmap="terrain", vmin=-0.4, vmax=1.1, interpolation="bicubic")
    axes.contour(distances[middle].reshape(side, side), 12, colors="black", alpha=0.35, linewidths=0.7)
    border = [(0, i) for i in range(side)] + [(i, side - 1) for i in range(side)]
    border += [(side - 1, i) for i in range(side)] + [(i, 0) for i in range(side)]
    for row, column in border[::2]:
        rows, columns = np.divmod(way(steps, distances, middle, row * side + column), side)
        axes.plot(columns, rows, color="crimson", linewidth=1.2)
    axes.set_axis_off()
    figure.tight_layout(pad=0)
    figure.savefig(path)
