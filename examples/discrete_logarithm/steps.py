"""Search for a discrete logarithm by baby steps and giant steps; it knows nothing of workers."""

from functools import cache


@cache
def small_steps(base: int, modulus: int, count: int) -> dict[int, int]:
    """Make a table of the first powers of the base, with their exponents; once in each process."""
    powers, power = {}, 1
    for exponent in range(count):
        powers.setdefault(power, exponent)
        power = power * base % modulus
    return powers


def search(base: int, target: int, modulus: int, count: int, begin: int, end: int) -> int | None:
    """Search the exponents from begin * count to end * count for one whose power of the base is the target."""
    powers = small_steps(base, modulus, count)
    back = pow(base, -count, modulus)
    point = target * pow(back, begin, modulus) % modulus
    for giant in range(begin, end):
        if point in powers:
            return giant * count + powers[point]
        point = point * back % modulus
    return None
