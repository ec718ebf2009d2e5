"""Make a painting of a photograph, tile by tile, by the filter of Kuwahara."""

import numpy as np

from aioparcs import serve

radius: int  # pixels from the middle of the brush to its border


def paint(tile: tuple[int, int, np.ndarray]) -> tuple[int, int, np.ndarray]:
    """
    Paint a tile: each pixel gets the mean colour of the calmest of the four squares that it is a corner of.

    The tile comes with `radius` more pixels on each side, so that a pixel at its border sees its neighbours.
    """
    top, left, pixels = tile
    colours = pixels.astype("i8")  # whole numbers: sums are exact, and no tile differs from another by rounding
    light = colours.sum(axis=2)
    sums, sums_of_light, sums_of_squares = squares(colours), squares(light), squares(light * light)
    area = (radius + 1) ** 2
    unrest = area * sums_of_squares - sums_of_light**2  # the variance, but for a factor

    height, width = light.shape[0] - 2 * radius, light.shape[1] - 2 * radius
    painted = np.empty((height, width, 3), dtype="u1")
    least = np.full((height, width), np.iinfo("i8").max)
    for down in (0, radius):
        for right in (0, radius):
            corner = slice(down, down + height), slice(right, right + width)
            calmer = unrest[corner] < least
            painted[calmer] = sums[corner][calmer] // area
            least = np.minimum(least, unrest[corner])
    return top, left, painted


def squares(values: np.ndarray) -> np.ndarray:
    """Sum the values of each square of radius + 1 pixels."""
    side = radius + 1
    total = np.zeros((values.shape[0] + 1, values.shape[1] + 1, *values.shape[2:]), dtype="i8")
    total[1:, 1:] = values.cumsum(axis=0).cumsum(axis=1)
    return total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]


def setup(brush: int) -> None:
    global radius
    radius = brush


serve(paint, setup)
