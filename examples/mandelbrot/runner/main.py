"""Draw the Mandelbrot set: a pool of workers computes its rows, some at a time."""

import os
import sys
import time

import numpy as np
from PIL import Image

from aioparcs import Runner, run


def positive(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        sys.exit(f"{name}={text!r} is not a positive whole number")
    return int(text)


WIDTH = positive("WIDTH", 1200)  # of the picture, in pixels
LIMIT = positive("LIMIT", 500)  # steps after which a point counts as one of the set
P = positive("P", 4)  # workers
PICTURE = os.environ.get("PICTURE")  # the file for the picture, if it is wanted

HEIGHT = max(1, WIDTH * 2 // 3)
LEFT, RIGHT, BOTTOM, TOP = -2.55, 1.05, -1.2, 1.2  # the part of the plane
ROWS = 16  # in one call


def paint(steps: np.ndarray) -> Image.Image:
    """Give each speed a colour: the set is black, and round it runs a circle of 255 colours."""
    circle = np.linspace(0, 2 * np.pi, 255, endpoint=False)[:, None] + [3.5, 4.2, 5.0]
    colours = np.vstack([np.zeros(3), 127.5 - 127.5 * np.cos(circle)])
    numbers = np.where(steps == 0, 0, 1 + 60 * np.sqrt(np.maximum(steps, 0)) % 255)
    picture = Image.fromarray(numbers.astype("u1"), "P")
    picture.putpalette(colours.astype("u1").tobytes())
    return picture


async def main(runner: Runner) -> None:
    begun = time.perf_counter()
    real, imaginary = np.linspace(LEFT, RIGHT, WIDTH), np.linspace(TOP, BOTTOM, HEIGHT)
    bands = (imaginary[row : row + ROWS] for row in range(0, HEIGHT, ROWS))
    async with runner.pool("mandelbrot", P, setup={"columns": real, "iterations": LIMIT}) as pool:
        steps = np.concatenate(await pool.map(bands))
    print(f"{WIDTH} x {HEIGHT} points took {P} workers {time.perf_counter() - begun:.2f} s")
    area = np.mean(steps == 0) * (RIGHT - LEFT) * (TOP - BOTTOM)
    print(f"The area of the set is about {area:.3f}; the best estimates say 1.507")
    if PICTURE:
        paint(steps).save(PICTURE, optimize=True)


run(main)
