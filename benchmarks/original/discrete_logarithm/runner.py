"""Find a discrete logarithm: each service searches a range of exponents."""

import os
import time
from math import isqrt

from parcs.server import Runner, serve

MODULUS = int(os.environ.get("MODULUS", "1099511627339"))
BASE = int(os.environ.get("BASE", "2"))
TARGET = int(os.environ.get("TARGET", "1000000000000"))
P = int(os.environ.get("P", "4"))


class Main(Runner):
    def run(self):
        begun = time.perf_counter()
        found = self.logarithm()
        print(f"{BASE} ** {found} = {TARGET} modulo {MODULUS}" if found is not None else "There is no such exponent")
        print(f"It took {P} workers {time.perf_counter() - begun:.2f} s")
        if found is not None:
            print(f"That power is the target: {'yes' if pow(BASE, found, MODULUS) == TARGET % MODULUS else 'no'}")

    def logarithm(self):
        count = isqrt(MODULUS // P) + 1
        giants = MODULUS // count + 1
        tasks = [self.engine.run("searcher") for _ in range(P)]
        for rank, task in enumerate(tasks):
            task.send_all(BASE, TARGET, MODULUS, count, giants * rank // P, giants * (rank + 1) // P)
        found = None
        for task in tasks:
            if found is None:
                found = task.recv()
            task.shutdown()
        return found


serve(Main())
