"""Find the shortest ways between all points of a hilly country."""

import os
import time

import numpy as np
from parcs.server import Runner, serve
from terrain import hills, walking

SIDE = int(os.environ.get("SIDE", "30"))
BLOCK = int(os.environ.get("BLOCK", "50"))
P = int(os.environ.get("P", "4"))


class Main(Runner):
    def run(self):
        steps = walking(hills(SIDE))
        begun = time.perf_counter()
        distances = self.shortest(steps)
        print(f"The shortest ways between {len(steps)} points took {time.perf_counter() - begun:.2f} s")
        print(f"From one corner to the other it is {distances[0, -1]:.2f}")
        print(f"NumPy alone finds the same: {'yes' if np.allclose(distances, self.plain(steps)) else 'no'}")

    def shortest(self, steps):
        size = len(steps)
        height = -(-size // (P * BLOCK)) * BLOCK
        starts = range(0, size, height)
        tasks = [self.engine.run("distances") for _ in starts]
        for task, start in zip(tasks, starts, strict=True):
            task.send_all(start, BLOCK, steps[start : start + height].tolist())
        for first in range(0, size, BLOCK):
            owner = tasks[first // height]
            pivots = owner.recv()
            for task in tasks:
                if task is not owner:
                    task.send(pivots)
        bands = [np.array(task.recv()) for task in tasks]
        for task in tasks:
            task.shutdown()
        return np.concatenate(bands)

    def plain(self, steps):
        distances = steps.copy()
        for node in range(len(distances)):
            np.minimum(distances, distances[:, node, None] + distances[node], out=distances)
        return distances


serve(Main())
