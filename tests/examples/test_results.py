"""The results of the examples, computed again here in another way."""

import heapq
import importlib.util
import math
import random
import re
from collections import Counter
from itertools import groupby
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from tests.support.command import EXAMPLES, run
from tests.support.examples import Example

pytestmark = pytest.mark.slow


def load(path: Path) -> ModuleType:
    """Import a file of an example."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, text
    return match[1]


@pytest.mark.parametrize("n, block, p", [(1, 1, 1), (7, 3, 2), (50, 100, 3), (64, 16, 4)])
def test_the_product_of_matrices(example: Example, n: int, block: int, p: int) -> None:
    output = example("matrix", N=n, BLOCK=block, P=p).stdout
    a, b = np.random.default_rng(1).random((2, n, n))
    total = a.sum(axis=0) @ b.sum(axis=1)  # the sum over all i, j, k of a[i, k] * b[k, j]
    assert float(found(r"product is ([\d.]+)\n", output)) == pytest.approx(total, abs=1e-3)
    assert output.endswith("NumPy has the same product: yes\n")


@pytest.mark.parametrize("side, block, p", [(1, 1, 2), (5, 3, 3), (6, 50, 2), (4, 1, 30)])
def test_the_shortest_ways(example: Example, side: int, block: int, p: int) -> None:
    output = example("floyd_warshall", SIDE=side, BLOCK=block, P=p).stdout
    terrain = load(EXAMPLES / "floyd_warshall" / "runner" / "terrain.py")
    steps = terrain.walking(terrain.hills(side))
    assert float(found(r"other it is ([\d.]+)\n", output)) == pytest.approx(dijkstra(steps)[-1], abs=0.006)
    assert output.endswith("NumPy alone finds the same: yes\n")


def dijkstra(steps: np.ndarray) -> list[float]:
    distances = [math.inf] * len(steps)
    border = [(0.0, 0)]
    while border:
        distance, node = heapq.heappop(border)
        if distance >= distances[node]:
            continue
        distances[node] = distance
        for there in np.flatnonzero(np.isfinite(steps[node])):
            heapq.heappush(border, (distance + float(steps[node, there]), int(there)))
    return distances


@pytest.mark.parametrize("n, weights, p", [(200, 1, 1), (1003, 7, 4), (400, 2, 5)])
def test_the_model_that_is_fitted_in_a_ring(example: Example, n: int, weights: int, p: int) -> None:
    output = example("all_reduce", N=n, WEIGHTS=weights, P=p, STEPS=60).stdout
    assert output.startswith(f"{p} workers fitted {weights} weights to {n} rows in ")
    assert float(found(r"is ([-+\de]+)\n", output)) < 1e-9


@pytest.mark.parametrize("branches, leaves, n, top", [(1, 1, 1, 1), (2, 3, 500, 4), (3, 1, 2, 10)])
def test_the_largest_numbers_of_a_tree(example: Example, branches: int, leaves: int, n: int, top: int) -> None:
    output = example("tree", BRANCHES=branches, LEAVES=leaves, N=n, TOP=top).stdout
    sources = [random.Random(seed) for seed in range(branches * leaves)]
    numbers = sorted((source.random() for source in sources for _ in range(n)), reverse=True)
    assert found(r"largest: (.*)\n", output) == ", ".join(f"{number:.9f}" for number in numbers[:top])


def test_the_mandelbrot_set(example: Example, tmp_path: Path) -> None:
    output = example("mandelbrot", WIDTH=60, LIMIT=50, P=2, PICTURE="set.png").stdout
    wanted = [[stays(complex(x, y), 50) for x in np.linspace(-2.55, 1.05, 60)] for y in np.linspace(1.2, -1.2, 40)]
    assert float(found(r"about ([\d.]+);", output)) == pytest.approx(np.mean(wanted) * 3.6 * 2.4, abs=6e-4)
    with Image.open(tmp_path / "set.png") as picture:
        assert np.array_equal(np.asarray(picture) == 0, wanted)


def stays(c: complex, limit: int) -> bool:
    z = 0j
    for _ in range(limit):
        z = z * z + c
        if abs(z) > 64:
            return False
    return True


def test_the_painting(example: Example, tmp_path: Path) -> None:
    output = example("painting", WIDTH=800, TILE=130, BRUSH=7, P=2, PICTURE="half.png").stdout
    assert output.endswith("Seams between the tiles: none\n")
    photograph = load(EXAMPLES / "painting" / "runner" / "landscape.py").landscape(800, 600)
    with Image.open(tmp_path / "half.png") as picture:
        pixels = np.asarray(picture)
    assert np.array_equal(pixels[:, :400], photograph[:, :400])
    chosen = random.Random(1)
    for row, column in [
        (0, 799),
        (599, 799),
        *((chosen.randrange(600), chosen.randrange(400, 800)) for _ in range(50)),
    ]:
        assert tuple(pixels[row, column]) in calmest(photograph, row, column, 7)


def calmest(photograph: np.ndarray, row: int, column: int, radius: int) -> set[tuple[int, ...]]:
    """Return the mean colours of the squares with the least variance that a pixel is a corner of."""
    rows = np.clip(np.arange(row - radius, row + radius + 1), 0, len(photograph) - 1)
    columns = np.clip(np.arange(column - radius, column + radius + 1), 0, photograph.shape[1] - 1)
    around = photograph[np.ix_(rows, columns)].astype(int)
    squares = [around[a : a + radius + 1, b : b + radius + 1] for a in (0, radius) for b in (0, radius)]
    unrest = [square.sum(axis=2).var() for square in squares]
    best = [square for square, value in zip(squares, unrest, strict=True) if math.isclose(value, min(unrest))]
    return {tuple(map(int, square.mean(axis=(0, 1)) + 1e-9)) for square in best}


@pytest.mark.parametrize("p", [1, 3])
def test_pi(example: Example, tmp_path: Path, p: int) -> None:
    output = example("pi", N=120_000, P=p, PICTURE="pi.png").stdout
    hits = 0
    for seed in range(3):
        throw = random.Random(seed).random
        hits += sum(math.hypot(throw(), throw()) < 1 for _ in range(50_000))
    estimate = 4 * hits / 150_000
    assert float(found(r"about ([\d.]+),", output)) == pytest.approx(estimate, abs=1e-6)
    assert float(found(r"is ([\d.]+) such", output)) == pytest.approx(
        abs(estimate - math.pi) / (4 * math.sqrt(math.pi / 4 * (1 - math.pi / 4) / 150_000)), abs=0.06
    )
    assert (tmp_path / "pi.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "n, factors",
    [
        (1, "1"),
        (2, "2"),
        (9, "3 * 3"),
        (360, "2 * 2 * 2 * 3 * 3 * 5"),
        (2**61 - 1, "2305843009213693951"),
        (1_000_003 * 2_147_483_647 * 18_446_744_073_709_551_557, "1000003 * 2147483647 * 18446744073709551557"),
    ],
)
def test_the_factors_of_a_number(example: Example, n: int, factors: str) -> None:
    output = example("factorisation", N=n, P=2).stdout
    assert output.startswith(f"{n} = {factors}\n")
    assert output.endswith("all factors are prime: yes\n")


@pytest.mark.parametrize("n, width, p", [(1, 1, 2), (13, 4, 3), (20, 50, 2)])
def test_the_solution_of_equations(example: Example, n: int, width: int, p: int) -> None:
    output = example("gaussian_elimination", N=n, WIDTH=width, P=p).stdout
    assert output.startswith(f"{p} workers solved {n} equations in ")
    assert float(found(r"is ([-+\de]+)\n", output)) < 1e-9
    assert output.endswith("NumPy finds the same: yes\n")


@pytest.mark.parametrize("modulus, base, target", [(2, 1, 1), (101, 2, 60), (101, 10, 2), (1009, 11, 500)])
def test_a_discrete_logarithm(example: Example, modulus: int, base: int, target: int) -> None:
    output = example("discrete_logarithm", MODULUS=modulus, BASE=base, TARGET=target, P=2).stdout
    powers = [power for power in range(modulus) if pow(base, power, modulus) == target % modulus]
    if powers:
        assert int(found(r"\*\* (\d+) = ", output)) % (modulus - 1) in powers
        assert output.endswith("That power is the target: yes\n")
    else:
        assert output.startswith("There is no such exponent\n")


@pytest.mark.parametrize("n, height, p", [(1, 1, 1), (2, 5, 4), (60, 7, 3)])
def test_the_longest_common_subsequence(example: Example, n: int, height: int, p: int) -> None:
    output = example("lcs", N=n, HEIGHT=height, P=p).stdout
    first, second = load(EXAMPLES / "lcs" / "runner" / "sequences.py").related(n)
    row = [0] * (len(second) + 1)
    for letter in first:
        above, row = row, [0]
        for column, other in enumerate(second):
            row.append(above[column] + 1 if letter == other else max(above[column + 1], row[-1]))
    assert int(found(r"subsequence of (\d+) letters", output)) == row[-1]
    assert output.endswith("One process alone finds the same: yes\n")


def test_the_words_of_a_folder(example: Example, tmp_path: Path) -> None:
    texts = ["The cat and the hat.", "A cat: THE cat!\n" * 7, "", "Été, été; 3 2 1, don't"]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.txt").write_text(text, encoding="utf-8")
    output = example("word_count", FOLDER=tmp_path, PATTERN="*.txt", TOP=100, P=2, PICTURE="words.png").stdout
    words = ["".join(letters) for text in texts for is_word, letters in groupby(text.lower(), str.isalpha) if is_word]
    first, *lines = output.splitlines()
    assert first == f"4 files have {len(words)} words, {len(set(words))} different ones"
    shown = {word: int(number) for number, word, *_ in map(str.split, lines)}
    assert shown == Counter(words)
    assert list(shown.values()) == sorted(shown.values(), reverse=True)
    assert (tmp_path / "words.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_texts_is_reported(tmp_path: Path, packages: str) -> None:
    done = run("run", EXAMPLES / "word_count", "-e", f"FOLDER={tmp_path}", XDG_CACHE_HOME=packages)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"there is no *.py in FOLDER={str(tmp_path)!r}\n")


def test_qr_codes_by_a_package_that_the_runner_does_not_have(example: Example, tmp_path: Path) -> None:
    assert importlib.util.find_spec("segno") is None, "then this test shows nothing"
    output = example("qr_codes", N=3, P=2, FOLDER="codes").stdout
    first, second, third = output.splitlines()
    assert first.startswith("2 workers made 3 QR codes in ")
    assert second.startswith("3 are PNG files of ")
    assert third == "The runner itself could not make them"
    for name in ("00001.png", "00002.png", "00003.png"):
        with Image.open(tmp_path / "codes" / name) as code:
            dark = np.asarray(code.convert("L")) < 128
        assert finder(dark[16:44, 16:44]), "no finder pattern in the corner"


def finder(corner: np.ndarray) -> bool:
    """Return whether these pixels, four for a module, are the square in a square that each QR code begins with."""
    modules = corner[2::4, 2::4]
    wanted = np.ones((7, 7), dtype=bool)
    wanted[1:6, 1:6] = False
    wanted[2:5, 2:5] = True
    return np.array_equal(modules, wanted)
