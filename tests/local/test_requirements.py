"""The requirements of a module, and the key by which its environment is used again."""

import os
import sys
from pathlib import Path

import pytest

from aioparcs import StartError
from aioparcs.modules.requirements import Requirements, read_requirements

HERE = "{}.{}".format(*sys.version_info[:2])
NEXT = f"{sys.version_info[0]}.{sys.version_info[1] + 1}"


def read(folder: Path, main: str = "", requirements: str | None = None) -> Requirements:
    (folder / "main.py").write_text(main)
    if requirements is not None:
        (folder / "requirements.txt").write_text(requirements)
    return read_requirements(folder)


def script(text: str) -> str:
    lines = "\n".join(f"# {line}".rstrip() for line in text.splitlines())
    return f"#!/usr/bin/env python3\n# /// script\n{lines}\n# ///\nimport this\n"


def test_most_modules_need_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "print('# /// script')\n").names == ()
    assert read(tmp_path, script("")).names == ()
    assert read(tmp_path, "", "# nothing\n\n   # at all\n").names == ()


def test_a_requirements_file_is_the_installers_to_read(tmp_path: Path) -> None:
    text = "--index-url https://example.org/simple\nnumpy >= 1.26 # arrays\n# pillow\n\nrich; python_version > '3'\n"
    needed = read(tmp_path, "", text)
    assert needed.names == (
        "--index-url https://example.org/simple",
        "numpy >= 1.26",
        "rich; python_version > '3'",
    )
    assert needed.arguments == ("-r", "requirements.txt")


def test_a_script_names_its_dependencies(tmp_path: Path) -> None:
    needed = read(tmp_path, script('dependencies = [\n  "numpy",\n  "./wheel.whl",\n]\n\n[tool.other]\nx = 1'))
    assert needed.names == ("numpy", "./wheel.whl")
    assert needed.arguments == ("--", "numpy", "./wheel.whl")


BLOCK = '# /// script\n# dependencies = ["numpy"]\n# ///\n'


@pytest.mark.parametrize(
    "main",
    [
        BLOCK.encode("utf-8-sig"),
        BLOCK.replace("\n", "\r\n").encode(),
        ("# -*- coding: latin-1 -*-\nX = 'é'\n" + BLOCK).encode("latin-1"),
    ],
    ids=["byte order mark", "carriage returns", "coding line"],
)
def test_main_is_read_as_python_reads_it(tmp_path: Path, main: bytes) -> None:
    (tmp_path / "main.py").write_bytes(main)
    assert read_requirements(tmp_path).names == ("numpy",)


@pytest.mark.parametrize(
    "encoding, line",
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("utf-16", ""),
        ("utf-16-le", "\ufeff"),
        ("utf-16-be", "\ufeff"),
        ("utf-32", ""),
        ("latin-1", "# -*- coding: latin-1 -*-\n"),
    ],
)
def test_a_requirements_file_is_read_as_pip_reads_it(tmp_path: Path, encoding: str, line: str) -> None:
    (tmp_path / "main.py").touch()
    (tmp_path / "requirements.txt").write_bytes(f"{line}numpy  # é\n".encode(encoding))
    assert read_requirements(tmp_path).names == ("numpy",)


def test_files_that_cannot_be_decoded_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locale.getpreferredencoding", lambda _: "utf-8")
    for name in ("main.py", "requirements.txt", "more.txt"):
        (tmp_path / "main.py").write_text("")
        (tmp_path / "requirements.txt").write_text("-r more.txt\n")
        (tmp_path / name).write_bytes(b"# one\n# two\n# caf\xe9\n")
        with pytest.raises(StartError, match=rf"{name} can't be read: 'utf-8' codec can't decode byte 0xe9"):
            read_requirements(tmp_path)


def test_a_line_may_be_continued_and_name_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "code.py").write_text("x = 1\n")
    monkeypatch.setenv("PLACE", "pkg")
    text = "./p\\\nkg\n./${PLACE}\n./${NOWHERE}\n"
    before = read(tmp_path, "", text)
    assert before.names == ("./pkg", "./${PLACE}", "./${NOWHERE}")  # values may be secret
    assert before.content.splitlines().count("./pkg") == 2
    (tmp_path / "pkg" / "code.py").write_text("x = 10\n")
    assert read(tmp_path, "", text).content != before.content
    monkeypatch.setenv("PLACE", "elsewhere")
    assert "./elsewhere" in read(tmp_path, "", text).content.splitlines()


def test_more_than_one_block_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"main\.py has 2 blocks of script metadata"):
        read(tmp_path, f"{BLOCK}import this\n{BLOCK}")


def test_a_script_that_cannot_be_read_says_where(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"script metadata in its main\.py can't be read.*line 1"):
        read(tmp_path, script("dependencies = [numpy]"))


@pytest.mark.parametrize(
    "wanted", ["", f">={HERE}", f"~={HERE}", f"=={HERE}.*", f">=3.8,<{NEXT}", f"!=3.2.*, >3.3, !={NEXT}", "<=99"]
)
def test_a_python_that_fits_is_used(tmp_path: Path, wanted: str) -> None:
    assert read(tmp_path, script(f'requires-python = "{wanted}"')).names == ()


@pytest.mark.parametrize(
    "wanted", [f">={NEXT}", f"<{HERE}", "==3.2", "==3.2.*", f"!={HERE}.*", f"<={HERE}.0,<3", "~=3.8.0", "~=4.0"]
)
def test_a_python_that_does_not_fit_is_refused(tmp_path: Path, wanted: str) -> None:
    with pytest.raises(StartError) as refused:
        read(tmp_path, script(f'requires-python = "{wanted}"'), "numpy\n")
    version = ".".join(map(str, sys.version_info[:3]))
    assert refused.value.reason == f"it needs Python {wanted}, and the local engine has {version}: {sys.executable}"


def test_a_python_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"requires-python = 'newest' in its main\.py can't be read"):
        read(tmp_path, script('requires-python = "newest"'))


def test_the_key_of_an_environment_covers_all_inputs(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "code.py").write_text("x = 1\n")
    (tmp_path / "more.txt").write_text("-c pins.txt\nrich\n")
    (tmp_path / "pins.txt").write_text("rich==13\n")
    text = "-r more.txt\n./pkg[extra]\nnumpy\n"

    contents = [read(tmp_path, "", text).content]
    (tmp_path / "main.py").write_text("changed = True\n")
    (tmp_path / "pkg" / "build").mkdir()
    (tmp_path / "pkg" / "build" / "code.py").write_text("x = 1\n")  # what building makes is no change
    assert read(tmp_path, "", f"# a comment\n{text}").content == contents[0]

    (tmp_path / "pkg" / "code.py").write_text("x = 10\n")
    contents.append(read(tmp_path, "", text).content)
    (tmp_path / "pins.txt").write_text("rich==14\n")
    contents.append(read(tmp_path, "", text).content)
    contents.append(read(tmp_path, "", text + "pillow\n").content)
    assert len(set(contents)) == 4


def test_files_that_include_each_other_end(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-r requirements.txt\nrich\n")
    assert "rich" in read(tmp_path, "", "-r a.txt\n").content


def test_local_packages_of_different_modules_are_different(tmp_path: Path) -> None:
    contents = set()
    for name in "ab":
        (tmp_path / name / "pkg").mkdir(parents=True)
        (tmp_path / name / "pkg" / "code.py").write_text("")
        os.utime(tmp_path / name / "pkg" / "code.py", (0, 0))
        contents.add(read(tmp_path / name, "", "./pkg\n").content)
    assert len(contents) == 2
