"""Count the words of a text."""

import re
from collections import Counter

from aioparcs import serve


def count(text: str) -> dict[str, int]:
    """Count each word, whatever its capitals."""
    return dict(Counter(re.findall(r"[^\W\d_]+", text.lower())))


serve(count)
