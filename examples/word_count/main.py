"""Count the words of all the texts in a folder, and show which ones are the most frequent."""

import os
import re
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from aioparcs import Runner, run


def positive(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        sys.exit(f"{name}={text!r} is not a positive whole number")
    return int(text)


FOLDER = Path(os.environ.get("FOLDER") or sysconfig.get_path("stdlib"))  # by default Python's own library
PATTERN = os.environ.get("PATTERN", "*.py")  # of the names of the files
TOP = positive("TOP", 12)  # words that are shown
P = positive("P", 4)  # workers
PICTURE = os.environ.get("PICTURE")  # the file for a picture, if one is wanted


def count(text: str) -> dict[str, int]:
    """Count each word of a text, whatever its capitals; this runs in the workers."""
    return dict(Counter(re.findall(r"[^\W\d_]+", text.lower())))


def find_files() -> list[Path]:
    files = sorted(FOLDER.glob(PATTERN))
    if not files:
        sys.exit(f"there is no {PATTERN} in FOLDER={str(FOLDER)!r}")
    return files


def texts(files: list[Path]) -> Iterator[str]:
    """Read the files, each when a worker is about to be free for it: memory holds a few at a time."""
    for file in files:
        yield file.read_text(encoding="utf-8", errors="replace")


async def main(runner: Runner) -> None:
    files = find_files()
    words: Counter[str] = Counter()
    async with runner.pool(count, P) as pool:
        async for counts in pool.imap_unordered(texts(files)):
            words.update(counts)
    print(f"{len(files):,} files have {words.total():,} words, {len(words):,} different ones")
    most = sorted(words.items(), key=lambda item: (-item[1], item[0]))[:TOP]
    for word, number in most:
        print(f"{number:>9,}  {word:<12} {'█' * round(40 * number / most[0][1])}")
    if PICTURE:
        from picture import draw

        draw(most, PICTURE)


run(main)
