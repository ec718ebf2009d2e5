"""Go down a band of columns of the table, with carries from the runner, and back to it."""

from bits import descend, places
from parcs.server import Service, serve


class Band(Service):
    def run(self):
        columns = self.recv()
        rows = self.recv()
        height = self.recv()
        width, letters = len(columns), places(columns)
        bits = (1 << width) - 1
        for top in range(0, len(rows), height):
            carries = bytes(self.recv())
            bits, carries = descend(bits, width, rows[top : top + height], carries, letters)
            self.send(list(carries))
        self.send(width - bits.bit_count())


serve(Band())
