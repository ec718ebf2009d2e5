"""Find the length of the longest common subsequence of two sequences of DNA, diagonal by diagonal."""

import os
import time

from parcs.server import Runner, serve
from sequences import plain, related

N = int(os.environ.get("N", "100000"))
HEIGHT = int(os.environ.get("HEIGHT", "1000"))
P = int(os.environ.get("P", "4"))


class Main(Runner):
    def run(self):
        first, second = related(N)
        begun = time.perf_counter()
        length = self.common(first, second)
        seconds = time.perf_counter() - begun
        print(f"Sequences of {len(first)} and {len(second)} letters took {P} workers {seconds:.2f} s")
        print(f"They have a subsequence of {length} letters in common")
        print(f"One process alone finds the same: {'yes' if plain(first, second) == length else 'no'}")

    def common(self, first, second):
        tasks = [self.engine.run("band") for _ in range(P)]
        for rank, task in enumerate(tasks):
            task.send_all(second[len(second) * rank // P : len(second) * (rank + 1) // P], first, HEIGHT)
        tops = range(0, len(first), HEIGHT)
        carries = [[0] * len(first[top : top + HEIGHT]) for top in tops]
        for diagonal in range(len(tops) + P - 1):
            busy = [(task, diagonal - rank) for rank, task in enumerate(tasks) if 0 <= diagonal - rank < len(tops)]
            for task, row in busy:
                task.send(carries[row])
            for task, row in busy:
                carries[row] = task.recv()
        length = sum(task.recv() for task in tasks)
        for task in tasks:
            task.shutdown()
        return length


serve(Main())
