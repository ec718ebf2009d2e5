"""The channel's promises name the tests that prove them."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCUMENT = TESTS.parent / "docs" / "channel.md"


def test_every_promise_names_tests_that_exist() -> None:
    defined = {name for file in TESTS.rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())}
    promises = DOCUMENT.read_text().split("## Promises")[1].split("\n## ")[0].strip().split("\n\n")
    for promise in promises:
        named = re.findall(r"`(test_\w+)`", promise)
        assert named, promise
        assert set(named) <= defined
