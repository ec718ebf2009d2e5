"""Solve a system of linear equations by Gaussian elimination, in blocks of columns."""

import os
import time

import numpy as np
from equations import equations, substitute
from parcs.server import Runner, serve

N = int(os.environ.get("N", "1500"))
WIDTH = int(os.environ.get("WIDTH", "50"))
P = int(os.environ.get("P", "4"))


class Main(Runner):
    def run(self):
        system = equations(N)
        begun = time.perf_counter()
        solution = self.solve(system)
        print(f"{P} workers solved {N} equations in {time.perf_counter() - begun:.2f} s")
        print(f"The largest error of an equation is {np.abs(system[:, :-1] @ solution - system[:, -1]).max():.0e}")
        same = np.allclose(np.linalg.solve(system[:, :-1], system[:, -1]), solution)
        print(f"NumPy finds the same: {'yes' if same else 'no'}")

    def solve(self, system):
        firsts = range(0, N + 1, WIDTH)
        tasks = [self.engine.run("elimination") for _ in range(P)]
        for rank, task in enumerate(tasks):
            blocks = {first: system[:, first : first + WIDTH].tolist() for first in firsts[rank::P]}
            task.send_all(N, WIDTH, blocks)
        for first in range(0, N, WIDTH):
            owner = tasks[first // WIDTH % P]
            done = owner.recv()
            for task in tasks:
                if task is not owner:
                    task.send(done)
        reduced = {}
        for task in tasks:
            for first, columns in task.recv().items():
                reduced[int(first)] = np.array(columns)
            task.shutdown()
        return substitute(np.hstack([reduced[first] for first in firsts]))


serve(Main())
