"""Make a painting of a photograph, tile by tile."""

import kuwahara
import numpy as np

from aioparcs import serve

radius: int  # pixels from the middle of the brush to its border


def paint(tile: tuple[int, int, np.ndarray]) -> tuple[int, int, np.ndarray]:
    """Paint a tile, which comes with a margin of `radius` pixels on each side, and is returned without it."""
    top, left, pixels = tile
    return top, left, kuwahara.paint(pixels, radius)


def setup(brush: int) -> None:
    global radius
    radius = brush


serve(paint, setup)
