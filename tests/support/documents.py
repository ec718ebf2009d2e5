"""The fenced blocks of the project's pages."""

import re
from pathlib import Path
from typing import NamedTuple

__all__ = ["Block", "blocks"]


class Block(NamedTuple):
    """A fenced block: the words behind its fence, its text, and the heading above it."""

    words: tuple[str, ...]
    text: str
    section: str

    @property
    def file(self) -> str:
        return next((word[5:] for word in self.words if word.startswith("file=")), "")


def blocks(document: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    found, section = [], ""
    for heading, words, text in re.findall(r"(?ms)^(#+ .*?)$|^```(.*?)$\n(.*?)^```$", document.read_text()):
        section = heading.lstrip("# ") or section
        if not heading:
            found.append(Block(tuple(words.split()), text, section))
    return found
