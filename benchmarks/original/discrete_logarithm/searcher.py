"""Search a range of exponents for a discrete logarithm."""

from parcs.server import Service, serve
from steps import search


class Searcher(Service):
    def run(self):
        base = self.recv()
        target = self.recv()
        modulus = self.recv()
        count = self.recv()
        begin = self.recv()
        end = self.recv()
        self.send(search(base, target, modulus, count, begin, end))


serve(Searcher())
