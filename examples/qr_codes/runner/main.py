"""Make a QR code for each of many tickets; the package that draws them is the workers' own affair."""

import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from aioparcs import Runner, run


def positive(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        sys.exit(f"{name}={text!r} is not a positive whole number")
    return int(text)


N = positive("N", 200)  # tickets
P = positive("P", 4)  # workers
FOLDER = os.environ.get("FOLDER")  # where the codes are written, if they are wanted


def write(codes: list[bytes], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, code in enumerate(codes, 1):
        (folder / f"{number:05}.png").write_bytes(code)


async def main(runner: Runner) -> None:
    begun = time.perf_counter()
    tickets = [f"https://example.org/tickets/{number:05}" for number in range(1, N + 1)]
    async with runner.pool("qr", P) as pool:
        codes = await pool.map(tickets)
    print(f"{P} workers made {len(codes)} QR codes in {time.perf_counter() - begun:.2f} s")
    pictures = sum(code.startswith(b"\x89PNG") for code in codes)
    print(f"{pictures} are PNG files of {sum(map(len, codes)) // N} bytes on average")
    print(f"The runner itself {'could' if find_spec('segno') else 'could not'} make them")
    if FOLDER:
        write(codes, Path(FOLDER))


run(main)
