"""The distributions of aioparcs, and an installation of nothing but its wheel."""

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from packaging.metadata import Metadata

from aioparcs.settings import VERSION
from tests.support.command import ENVIRONMENT, execute
from tests.support.wheels import ROOT, build, install

pytestmark = pytest.mark.slow

WHEEL, SDIST = f"aioparcs-{VERSION}-py3-none-any.whl", f"aioparcs-{VERSION}.tar.gz"
REPOSITORY = "https://forge.example/parcs/aioparcs"
# The command line of an installation, with a number whose divisors are found at once.
DEMO = """
import sys
from aioparcs.cli import demo, main
demo.VARIABLES["N"] = "360"
sys.argv[:] = [sys.argv[1], "demo"]
main()
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    build(folder)
    return folder


@pytest.fixture(scope="module")
def unpacked(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the source distribution's files."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(built / SDIST) as archive:
        archive.extractall(folder, filter="data")
    source = folder / f"aioparcs-{VERSION}"
    (source / "PKG-INFO").unlink()  # the one file that the build adds
    return source


@pytest.fixture(scope="module")
def commands(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the commands of an environment where the wheel is installed."""
    return install(built / WHEEL, tmp_path_factory.mktemp("installed") / "venv")


def metadata(wheel: Path) -> Metadata:
    with zipfile.ZipFile(wheel) as archive:
        return Metadata.from_email(archive.read(f"aioparcs-{VERSION}.dist-info/METADATA"), validate=True)


def targets(text: str) -> Iterator[str]:
    """Yield where the links and the pictures of a page of Markdown lead."""
    for block in MarkdownIt().parse(text):
        for token in block.children or ():
            yield from (str(token.attrs[name]) for name in ("href", "src") if name in token.attrs)


def test_the_source_distribution_builds_the_same_files(built: Path, unpacked: Path, tmp_path: Path) -> None:
    for place in ("tests/conftest.py", "docs/tutorial.md", "examples/pi/main.py", "images/python/Dockerfile"):
        assert (unpacked / place).read_bytes() == (ROOT / place).read_bytes()
    build(tmp_path, source=unpacked)
    for name in (WHEEL, SDIST):
        assert (tmp_path / name).read_bytes() == (built / name).read_bytes(), name


def test_the_wheel_has_all_files_of_the_package(built: Path) -> None:
    there = {path for path in (ROOT / "aioparcs").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    with zipfile.ZipFile(built / WHEEL) as archive:
        packed = {ROOT / name for name in archive.namelist() if name.startswith("aioparcs/")}
    assert packed == there


def test_the_description_has_no_link_that_works_in_the_repository_only(
    built: Path, unpacked: Path, tmp_path: Path
) -> None:
    assert not [target for target in targets(metadata(built / WHEEL).description or "") if ":" not in target]
    project = unpacked / "pyproject.toml"
    text = project.read_text()
    try:
        project.write_text(text.replace('repository = ""', f'repository = "{REPOSITORY}"'))
        build(tmp_path, "wheel", source=unpacked)
    finally:
        project.write_text(text)
    published = metadata(tmp_path / WHEEL)
    assert published.description_content_type == "text/markdown"
    found = list(targets(published.description or ""))
    assert f"{REPOSITORY}/raw/v{VERSION}/docs/run.svg" in found
    assert f"{REPOSITORY}/blob/v{VERSION}/docs/tutorial.md#a-service-with-a-folder-of-its-own" in found
    assert len(found) == len(list(targets((ROOT / "README.md").read_text())))
    urls = published.project_urls or {}
    assert list(urls) == ["Changelog", "Documentation", "Homepage", "Issues", "Source"]
    for target in (*found, *urls.values()):
        head, _, path = target.partition(f"/v{VERSION}/")
        assert head in {f"{REPOSITORY}/blob", f"{REPOSITORY}/raw"} or target.startswith(REPOSITORY)
        assert (ROOT / path.partition("#")[0]).exists()


def test_an_installation_runs_the_demo_also_above_a_clone(commands: Path, tmp_path: Path) -> None:
    (tmp_path / "aioparcs/aioparcs").mkdir(parents=True)
    done = execute([str(commands / "python"), "-c", DEMO, str(commands / "aioparcs")], tmp_path)
    assert not done.returncode, done.stderr
    divisors, took, following = done.stdout.splitlines()
    assert divisors.startswith("360 has 24 divisors: 1, 2, 3, ")
    assert took.startswith("8 workers took ")
    assert following == f"Next: {commands}/aioparcs new hello"
    assert "factor: 8 workers finished" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["aioparcs"]


def test_a_release_is_refused_unless_version_changelog_and_address_are_those_of_its_tag(tmp_path: Path) -> None:
    for name in (".ci/release.py", "aioparcs/settings.py", "CHANGELOG.md", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())

    def check(tag: str) -> "subprocess.CompletedProcess[str]":
        words = [sys.executable, ".ci/release.py", tag]
        return subprocess.run(words, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)

    (tmp_path / "aioparcs/settings.py").write_text('VERSION = "7.8.9"\n')
    refused = check("v7.8.8")
    assert refused.returncode == 1
    assert [line.partition(":")[0] for line in refused.stdout.splitlines()] == [
        "aioparcs/settings.py", "CHANGELOG.md", "pyproject.toml", "dist", "dist",
    ]  # fmt: skip
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [7.8.9] - 2026-12-01\n")
    project = (tmp_path / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(project.replace('repository = ""', f'repository = "{REPOSITORY}"'))
    (tmp_path / "dist").mkdir()
    for name in ("aioparcs-7.8.9-py3-none-any.whl", "aioparcs-7.8.9.tar.gz"):
        (tmp_path / "dist" / name).touch()
    passed = check("v7.8.9")
    assert (passed.returncode, passed.stdout) == (0, "")
