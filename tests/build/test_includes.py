"""The packages that a module shares with others: the list of them, and their files in its image."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from aioparcs import StartError
from aioparcs.build.dockerfile import module_context
from aioparcs.cli.submit import modules_named
from aioparcs.modules.includes import read_includes
from aioparcs.swarm.engine.source import module_files, source_tag

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files beside a module, and in it; return the module's folder."""

    def make(**files: str) -> Path:
        for name, text in ({"factor/main.py": "print(1)\n"} | files).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "factor"

    return make


SHARED = {"shared/__init__.py": "", "shared/sub/deep.py": "1", "alone.py": "2", "other/__init__.py": ""}
OWN = {"factor/aioparcs.toml": 'include = ["../shared", "../alone.py"]'}


def packed(folder: Path) -> set[str]:
    file = io.BytesIO()
    module_context(folder, "base", None)[0].pack(file)
    with tarfile.open(fileobj=file) as tar:
        return {member.name for member in tar}


@pytest.mark.parametrize(
    "files",
    [OWN, {"factor/pyproject.toml": '[project]\nname = "x"\n[tool.aioparcs]\ninclude = ["../shared/", "../alone.py"]'}],
    ids=["aioparcs.toml", "pyproject.toml"],
)
def test_shared_packages_are_beside_main_in_the_image(write: Write, files: dict[str, str]) -> None:
    folder = write(**SHARED, **files)
    assert packed(folder) == {
        "Dockerfile", "module/.aioparcs-included", "module/main.py", "module/alone.py", "module/shared",
        "module/shared/__init__.py", "module/shared/sub", "module/shared/sub/deep.py",
        *(f"module/{Path(name).name}" for name in files),
    }  # fmt: skip


def test_a_dockerfile_of_the_modules_own_finds_them_beside_main(write: Write) -> None:
    folder = write(**SHARED, **OWN, **{"factor/Dockerfile": "FROM base\nCOPY . /parcs\n"})
    assert {"main.py", "shared/sub/deep.py", "alone.py", ".aioparcs-included"} <= packed(folder)


def test_the_hash_of_the_source_covers_them(write: Write) -> None:
    folder = write(**SHARED, **OWN)
    before = source_tag(folder)
    (folder.parent / "shared" / "sub" / "deep.py").write_text("another")
    assert source_tag(folder) != before


def test_dockerignore_and_links_apply_to_them(write: Write) -> None:
    folder = write(**SHARED, **OWN, **{"factor/.dockerignore": "shared/sub\n", "elsewhere/x.py": "3"})
    (folder.parent / "shared" / "linked").symlink_to("../elsewhere")
    (folder.parent / "shared" / "same.py").symlink_to("__init__.py")
    files = module_files(folder)
    assert {name for name in files if name.startswith("shared")} == {
        "shared", "shared/__init__.py", "shared/same.py", "shared/linked", "shared/linked/x.py"
    }  # fmt: skip
    (folder.parent / "shared" / "back").symlink_to(folder.parent)
    with pytest.raises(OSError, match=r"the link shared/back leads to .*, a folder that it is in"):
        module_files(folder)


def test_modules_that_shared_code_names_are_built(write: Write) -> None:
    folder = write(**OWN, **SHARED | {"shared/start.py": 'NAME = "worker"'}, **{"worker/main.py": ""})
    assert modules_named(folder, [folder.parent], {}) == {"worker": folder.parent / "worker"}


def test_in_an_image_the_list_counts_as_done(write: Write) -> None:
    assert read_includes(write(**OWN, **{"factor/.aioparcs-included": ""})) == {}


def test_a_module_without_a_list_shares_nothing(write: Write) -> None:
    assert read_includes(write(**{"factor/pyproject.toml": "tool = 1\n"})) == {}
    assert read_includes(write(**{"factor/pyproject.toml": '[tool.other]\ninclude = ["x"]\n'})) == {}


@pytest.mark.parametrize(
    "files, reason",
    [
        (
            {"factor/aioparcs.toml": 'include = ["../nowhere"]'},
            r"include '../nowhere' in its aioparcs.toml: there is no /",
        ),
        ({"factor/aioparcs.toml": 'include = [".."]'}, "include '..' in its .*: the module itself is in /"),
        ({"factor/aioparcs.toml": 'include = ["../t.csv"]', "t.csv": ""}, "neither a package's folder nor a .py file"),
        ({"factor/aioparcs.toml": 'include = ["../my-lib"]', "my-lib/x.py": ""}, "no program can import 'my-lib'"),
        ({"factor/aioparcs.toml": 'include = ["../json"]', "json/x.py": ""}, "it would hide json of Python itself"),
        ({"factor/aioparcs.toml": 'include = ["../aioparcs"]', "aioparcs/x.py": ""}, "it would hide aioparcs of aiop"),
        (OWN | {"factor/shared.py": ""}, "include '../shared' .*: factor/shared.py would be imported as shared, too"),
        (OWN | {"factor/alone/x.py": ""}, "include '../alone.py' .*: factor/alone would be imported as alone, too"),
        (
            {"factor/aioparcs.toml": 'include = ["../shared", "../deep/shared"]', "deep/shared/x.py": ""},
            "include '../deep/shared' .*: it and .*/shared would both be imported as shared; rename one",
        ),
        (
            {"factor/aioparcs.toml": 'inlcude = ["../shared"]'},
            "aioparcs.toml: unknown key 'inlcude'; did you mean 'include'.$",
        ),
        ({"factor/aioparcs.toml": "paths = []"}, "aioparcs.toml: unknown key 'paths'; the only key is 'include'$"),
        (
            {"factor/aioparcs.toml": 'include = ["../src"]', "src/units/__init__.py": "", "src/b/__init__.py": ""},
            "include '../src' in its aioparcs.toml: it has packages, and is none itself; list ../src/b, ../src/units$",
        ),
        ({"factor/aioparcs.toml": 'include = "../shared"'}, "include in its aioparcs.toml is not a list of paths"),
        ({"factor/aioparcs.toml": "include = ["}, "aioparcs.toml can't be read: "),
        ({"factor/pyproject.toml": "[tool]\naioparcs = 3"}, "3 in its pyproject.toml: the only key is include"),
        (
            OWN | {"factor/pyproject.toml": "[tool.aioparcs]"},
            "both aioparcs.toml and .tool.aioparcs. in pyproject.toml",
        ),
    ],
)
def test_a_list_that_makes_no_sense_is_refused_by_name(write: Write, files: dict[str, str], reason: str) -> None:
    with pytest.raises(StartError, match=reason):
        read_includes(write(**SHARED, **files))
