"""The files of the page: their size, their licences, and that they load nothing from elsewhere."""

import gzip
import hashlib
import re
from pathlib import Path

import pytest

import aioparcs

PAGE = Path(aioparcs.__file__).parent / "web/page"
VENDOR = PAGE / "vendor"
LARGEST = 60_000  # bytes of all that a browser loads, compressed
KINDS = (".html", ".js", ".css", ".svg")

pytestmark = pytest.mark.one_loop


def assets() -> list[Path]:
    return sorted(path for path in PAGE.rglob("*") if path.suffix in KINDS)


def own() -> list[Path]:
    return [path for path in assets() if VENDOR not in path.parents]


def test_all_assets_are_small_together() -> None:
    sizes = {path.name: len(gzip.compress(path.read_bytes(), 9, mtime=0)) for path in assets()}
    assert sizes
    assert sum(sizes.values()) <= LARGEST, sizes


def test_libraries_are_what_their_packages_hold_and_have_their_licences() -> None:
    rows = re.findall(
        r"^\| ([\w.-]+\.\w+) \|.*\| ([^|]+) \| ([0-9a-f]{64}) \|$", (VENDOR / "VERSIONS.md").read_text(), re.M
    )
    found = {name: digest for name, _, digest in rows}
    assert found == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.iterdir() if path.suffix in KINDS
    }
    named = {name for _, licences, _ in rows for name in re.findall(r"\w+\.LICENSE", licences)}
    assert named == {path.name for path in VENDOR.glob("*.LICENSE")}
    assert all((VENDOR / name).read_text().strip() for name in named)


def test_nothing_is_inline_and_text_is_never_markup() -> None:
    words = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "javascript:")
    for path in own():
        text = path.read_text()
        assert [word for word in words if word in text] == [], path
        assert not re.search(r"https?://(?!www\.w3\.org/)", text), f"{path} loads something from elsewhere"
        if path.suffix == ".html":
            assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text), path
