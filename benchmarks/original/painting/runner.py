"""Make a painting of a photograph: services filter its tiles, and no seam shows where tiles meet."""

import os
import time

import numpy as np
from kuwahara import paint
from landscape import landscape
from parcs.server import Runner, serve

WIDTH = int(os.environ.get("WIDTH", "4000"))
TILE = int(os.environ.get("TILE", "500"))
BRUSH = int(os.environ.get("BRUSH", "24"))
P = int(os.environ.get("P", "4"))


class Main(Runner):
    def run(self):
        photograph = landscape(WIDTH, WIDTH * 3 // 4)
        begun = time.perf_counter()
        painting = self.paint(photograph)
        print(f"{WIDTH} x {len(photograph)} pixels took {P} workers {time.perf_counter() - begun:.2f} s")
        corner = slice(TILE - 2 * BRUSH, TILE + 2 * BRUSH)
        inner = slice(TILE - BRUSH, TILE + BRUSH)
        whole = paint(photograph[corner, corner], BRUSH)
        print(f"Seams between the tiles: {'none' if np.array_equal(whole, painting[inner, inner]) else 'some'}")

    def paint(self, photograph):
        height, width, _ = photograph.shape
        bordered = np.pad(photograph, [(BRUSH, BRUSH), (BRUSH, BRUSH), (0, 0)], mode="edge")
        painting = np.empty_like(photograph)
        tiles = [(top, left) for top in range(0, height, TILE) for left in range(0, width, TILE)]
        tasks = [self.engine.run("painter") for _ in range(P)]
        for rank, task in enumerate(tasks):
            task.send_all(BRUSH, len(tiles[rank::P]))
        for start in range(0, len(tiles), P):
            some = list(zip(tasks, tiles[start : start + P], strict=False))
            for task, (top, left) in some:
                task.send(bordered[top : top + TILE + 2 * BRUSH, left : left + TILE + 2 * BRUSH].tolist())
            for task, (top, left) in some:
                painting[top : top + TILE, left : left + TILE] = task.recv()
        for task in tasks:
            task.shutdown()
        return painting


serve(Main())
