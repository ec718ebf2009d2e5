"""Keep some blocks of the columns of a system of equations, and eliminate in step with the other services."""

import numpy as np
from blocks import factorise, reduce
from parcs.server import Service, serve


class Elimination(Service):
    def run(self):
        size = self.recv()
        width = self.recv()
        blocks = {int(first): np.array(columns) for first, columns in self.recv().items()}
        for first in range(0, size, width):
            if first in blocks:
                order, factors = factorise(blocks[first][first:], min(width, size - first))
                self.send([order.tolist(), factors.tolist()])
            else:
                order, factors = map(np.array, self.recv())
            for start, columns in blocks.items():
                if start > first:
                    reduce(columns[first:], order, factors)
        self.send({first: columns.tolist() for first, columns in blocks.items()})


serve(Elimination())
