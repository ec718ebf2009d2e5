"""Paint tiles of a photograph."""

import numpy as np
from kuwahara import paint
from parcs.server import Service, serve


class Painter(Service):
    def run(self):
        brush = self.recv()
        for _ in range(self.recv()):
            tile = np.array(self.recv(), dtype="u1")
            self.send(paint(tile, brush).tolist())


serve(Painter())
