"""Every example has its page, its picture and its place in the gallery, and does what its page shows."""

import re
import shlex
from pathlib import Path

import pytest

from tests.support.command import EXAMPLES, run
from tests.support.documents import blocks
from tests.support.examples import DIRECTED, runner_of, shape

PICTURES = sorted(path for path in EXAMPLES.glob("*/*") if path.suffix in (".png", ".jpg"))
EACH = pytest.mark.parametrize("folder", DIRECTED, ids=lambda folder: folder.name)


@pytest.mark.slow
@EACH
def test_the_page_shows_what_happens(folder: Path, tmp_path: Path, packages: str) -> None:
    (tmp_path / "examples").symlink_to(EXAMPLES)
    assert (folder / "README.md").read_text().startswith(f"# {folder.name}\n")
    (block,) = (block for block in blocks(folder / "README.md") if block.words == ("console",))
    command, _, output = block.text.removeprefix("$ aioparcs ").partition("\n")
    done = run(*shlex.split(command), cwd=tmp_path, XDG_CACHE_HOME=packages)
    assert done.returncode == 0, done.stderr
    assert shape(done.stdout) == shape(output)


@pytest.mark.slow
@EACH
def test_a_bad_number_is_one_clear_line(folder: Path) -> None:
    main = (runner_of(folder) / "main.py").read_text()
    for name in re.findall(r'positive\("(\w+)"', main)[-1:]:
        done = run("run", runner_of(folder), "-e", f"{name}=none")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"{name}='none' is not a positive whole number\n"


@EACH
def test_the_page_names_every_parameter(folder: Path) -> None:
    page = (folder / "README.md").read_text()
    main = (runner_of(folder) / "main.py").read_text()
    for name in re.findall(r'(?:positive\(|environ\.get\(|environ\[)"(\w+)"', main):
        assert f"-e {name}=" in page, name


def test_modules_of_examples_have_names_of_their_own() -> None:
    names = [main.parent.name for main in EXAMPLES.glob("**/main.py") if main.parent.name != "runner"]
    assert len(names) == len(set(names)), "on a Swarm they share a registry"


def test_one_half_of_the_examples_are_one_program_and_the_other_half_have_modules_of_their_own() -> None:
    one = [folder for folder in DIRECTED if runner_of(folder) == folder]
    assert 0 < len(one) <= len(DIRECTED) - len(one)


def test_the_gallery_has_all_examples_and_pictures() -> None:
    gallery = (EXAMPLES / "README.md").read_text()
    pages = [path.relative_to(EXAMPLES) for path in EXAMPLES.glob("*/README.md")]
    for path in [*pages, *(picture.relative_to(EXAMPLES) for picture in PICTURES)]:
        assert f"({path})" in gallery, path
    for folder in DIRECTED:
        assert re.search(rf"aioparcs run examples/{runner_of(folder).relative_to(EXAMPLES)}[ \n]", gallery), folder


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_pictures_are_small_and_shown(picture: Path) -> None:
    assert picture.stat().st_size < 150_000
    assert f"({picture.name})" in (picture.parent / "README.md").read_text()
    if picture.parent.name != "qr_codes":  # whose picture has a line of its own
        makefile = (EXAMPLES.parent / "Makefile").read_text()
        assert f"{picture.parent.name}/{picture.name}" in makefile, "make examples doesn't make it"
