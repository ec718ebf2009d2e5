"""
Make a painting of a photograph: workers filter its tiles, and no seam shows where tiles meet.

The filter looks at a pixel's neighbours, so each tile is sent with a margin: some pixels of the tiles around it.
"""

import os
import sys
import time
from collections.abc import Iterator

import numpy as np
from landscape import landscape
from PIL import Image

from aioparcs import Runner, run


def positive(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        sys.exit(f"{name}={text!r} is not a positive whole number")
    return int(text)


WIDTH = positive("WIDTH", 4000)  # of the photograph, in pixels
TILE = positive("TILE", 500)  # pixels of a tile's side
BRUSH = positive("BRUSH", 24)  # radius of the brush, in pixels
P = positive("P", 4)  # workers
PICTURE = os.environ.get("PICTURE")  # the file for the picture, if it is wanted


def tiles(photograph: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Cut a photograph into tiles with a margin of BRUSH pixels on each side, one when it is asked for."""
    height, width, _ = photograph.shape
    bordered = np.pad(photograph, [(BRUSH, BRUSH), (BRUSH, BRUSH), (0, 0)], mode="edge")
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            yield top, left, bordered[top : top + TILE + 2 * BRUSH, left : left + TILE + 2 * BRUSH]


async def main(runner: Runner) -> None:
    photograph = landscape(WIDTH, WIDTH * 3 // 4)
    painting = np.empty_like(photograph)
    begun = time.perf_counter()
    async with runner.pool("painter", P, setup={"brush": BRUSH}) as pool:
        async for top, left, painted in pool.imap_unordered(tiles(photograph)):
            painting[top : top + TILE, left : left + TILE] = painted
        print(f"{WIDTH} x {len(photograph)} pixels took {P} workers {time.perf_counter() - begun:.2f} s")
        # Where four tiles met: the same pixels, painted in one piece.
        corner = slice(TILE - 2 * BRUSH, TILE + 2 * BRUSH)
        inner = slice(TILE - BRUSH, TILE + BRUSH)
        _, _, whole = await pool.submit((0, 0, photograph[corner, corner]))
    print(f"Seams between the tiles: {'none' if np.array_equal(whole, painting[inner, inner]) else 'some'}")
    if PICTURE:
        half = WIDTH // 2
        both = np.hstack([photograph[:, :half], painting[:, half:]])
        Image.fromarray(both).resize((800, 600)).save(PICTURE, quality=85)


run(main)
