"""
Longest common subsequences, a row of the table at a time, as the bits of one number.

In a row of the table, each entry is that of its left neighbour or one more. A bit of the number is 0 where it is one
more (Crochemore et al., Hyyrö). An addition does the work for a whole row, and its carry goes on in the columns to
the right, which may be another worker's.
"""


def places(columns: str) -> dict[str, int]:
    """Make for each letter the number whose bits are 1 where the letter is."""
    return {
        letter: int("".join("01"[letter == other] for other in reversed(columns)), 2) for letter in sorted(set(columns))
    }


def descend(bits: int, width: int, rows: str, carries: bytes, letters: dict[str, int]) -> tuple[int, bytes]:
    """Go down some rows; each begins with a carry from the columns to the left, and gives one to those to the right."""
    full = (1 << width) - 1
    given = bytearray()
    for letter, carry in zip(rows, carries, strict=True):
        common = bits & letters.get(letter, 0)
        total = bits + common + carry
        given.append(total >> width)
        bits = (total | bits ^ common) & full
    return bits, bytes(given)
