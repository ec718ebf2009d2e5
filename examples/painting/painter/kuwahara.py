"""The filter of Kuwahara, which makes a painting of a photograph."""

import numpy as np


def paint(pixels: np.ndarray, radius: int) -> np.ndarray:
    """
    Give each pixel the mean colour of the calmest of the four squares that it is a corner of.

    There are `radius` more pixels on each side than are painted, so that a pixel at the border sees its neighbours.
    """
    side = radius + 1
    colours = pixels.astype("i8")  # whole numbers: sums are exact, and no tile differs from another by rounding
    light = colours.sum(axis=2)
    sums, sums_of_light, sums_of_squares = (squares(values, side) for values in (colours, light, light * light))
    area = side * side
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
    return painted


def squares(values: np.ndarray, side: int) -> np.ndarray:
    """Sum the values of each square of side x side pixels."""
    total = np.zeros((values.shape[0] + 1, values.shape[1] + 1, *values.shape[2:]), dtype="i8")
    total[1:, 1:] = values.cumsum(axis=0).cumsum(axis=1)
    return total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
