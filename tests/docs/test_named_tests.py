"""The channel's promises, the threats to a job and the ends of a runner name the tests that prove what is said."""

import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCUMENT = TESTS.parent / "docs" / "channel.md"


@pytest.mark.parametrize("page, title", [("security", "## Who can do what"), ("reliability", "## Every exit")])
def test_every_row_names_tests_that_exist(page: str, title: str) -> None:
    table = (DOCUMENT.parent / f"{page}.md").read_text().split(title)[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert set(named) <= _defined()


@cache
def _defined() -> set[str]:
    return {name for file in TESTS.rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())}


def test_every_promise_names_tests_that_exist() -> None:
    promises = DOCUMENT.read_text().split("## Promises")[1].split("\n## ")[0].strip().split("\n\n")
    for promise in promises:
        named = re.findall(r"`(test_\w+)`", promise)
        assert named, promise
        assert set(named) <= _defined()
