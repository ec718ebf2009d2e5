"""Mutations of inputs by a seed, where no coverage guides them."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

__all__ = ["mutations"]

_NUMBERS = (b"\x00", b"\xff", b"\x7f", b"\xc1", b"\xc7\xff\x05", b"\xd9\xff", b"\xdd\xff\xff\xff\xff", b"\x00" * 8)
_LONGEST = 1 << 13


def mutations(inputs: list[bytes], seed: int) -> Iterator[bytes]:
    """Yield the inputs, then variations of them without end."""
    yield from inputs
    random = Random(seed)
    while True:
        data = bytearray(random.choice(inputs))
        for _ in range(random.choice((1, 1, 2, 4, 8))):
            at = random.randrange(len(data) + 1)
            match random.randrange(6):
                case 0:
                    data[at : at + 1] = bytes([random.randrange(256)])
                case 1:
                    data[at:at] = random.choice(_NUMBERS)
                case 2:
                    del data[at : at + random.choice((1, 1, 2, 8, 100))]
                case 3:
                    other = random.choice(inputs)
                    begin = random.randrange(len(other) + 1)
                    data[at:at] = other[begin : begin + random.choice((1, 4, 16, 1000))]
                case 4 if data:
                    data[at % len(data)] ^= 1 << random.randrange(8)
                case _:
                    data[at:at] = data[at : at + random.choice((1, 2, 8))] * random.choice((1, 3, 200))
        yield bytes(data[:_LONGEST])
