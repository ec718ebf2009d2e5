"""Keep some rows of a table of distances, and shorten them by the ways through every node."""

import numpy as np
from parcs.server import Service, serve
from ways import shorten


class Distances(Service):
    def run(self):
        start = self.recv()
        block = self.recv()
        rows = np.array(self.recv())
        end, size = start + len(rows), rows.shape[1]
        for first in range(0, size, block):
            if start <= first < end:
                pivots = rows[first - start : first - start + block]
                shorten(pivots, pivots, first)
                self.send(pivots.tolist())
            else:
                pivots = np.array(self.recv())
            shorten(rows, pivots, first)
        self.send(rows.tolist())


serve(Distances())
