"""Sequences of DNA that have much in common, and the length of what they have, found here alone."""

from random import Random


def related(length: int, seed: int = 4) -> tuple[str, str]:
    """Make a sequence, and another from it by changing, leaving out and adding letters here and there."""
    random = Random(seed)
    first = random.choices("ACGT", k=length)
    kinds = random.choices(["same", "other", "none", "more"], [85, 9, 3, 3], k=length)
    second = [
        {"same": letter, "other": random.choice("ACGT"), "none": "", "more": letter + random.choice("ACGT")}[kind]
        for letter, kind in zip(first, kinds, strict=True)
    ]
    return "".join(first), "".join(second)


def plain(first: str, second: str) -> int:
    """Find the length for all columns at once."""
    letters = {letter: int("".join("01"[letter == other] for other in second[::-1]) or "0", 2) for letter in "ACGT"}
    bits = full = (1 << len(second)) - 1
    for letter in first:
        common = bits & letters[letter]
        bits = (bits + common | bits ^ common) & full
    return len(second) - bits.bit_count()
