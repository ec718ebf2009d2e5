"""The inventories of images, and the labels that say where they come from."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from aioparcs import SettingError
from aioparcs.build import inventory
from aioparcs.build.provenance import build_time, provenance_labels
from tests.support.command import execute

MOMENT = {"SOURCE_DATE_EPOCH": "1700000000"}
STATUS = """Package: libc6
Status: install ok installed
Architecture: amd64
Version: 1:2.36-9+deb12u4

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

"""
# What SPDX 2.3 requires of each package.
REQUIRED = {"SPDXID", "name", "downloadLocation"}


def written(root: Path, **env: str) -> Any:
    done = execute([sys.executable, inventory.__file__, str(root)], None, **env)
    assert done.returncode == 0, done.stderr
    return json.loads((root / inventory.FILE).read_text())


def test_an_inventory_is_a_valid_document_of_all_packages(tmp_path: Path) -> None:
    for name, text in ("var/lib/dpkg/status", STATUS), ("etc/os-release", "NAME=x\nID=debian\n"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = written(tmp_path, **MOMENT)
    assert (found["spdxVersion"], found["dataLicense"], found["SPDXID"]) == ("SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT")
    assert found["creationInfo"] == {"created": "2023-11-14T22:13:20Z", "creators": ["Tool: aioparcs"]}
    assert re.fullmatch(r"urn:aioparcs:sbom:[0-9a-f]{64}", found["documentNamespace"])
    packages = {package["SPDXID"]: package for package in found["packages"]}
    assert len(packages) == len(found["packages"])
    assert all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", identity) for identity in packages)
    assert all(package.keys() >= REQUIRED and package["filesAnalyzed"] is False for package in packages.values())
    relations = [tuple(one.values()) for one in found["relationships"]]
    contained = {other for one, kind, other in relations if (one, kind) == ("SPDXRef-image", "CONTAINS")}
    assert ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image") in relations
    assert contained == packages.keys() - {"SPDXRef-image"}

    def locators(name: str) -> list[str]:
        refs = [ref for one in packages.values() if one["name"] == name for ref in one.get("externalRefs", [])]
        return [ref["referenceLocator"] for ref in refs]

    assert locators("msgpack") == [f"pkg:pypi/msgpack@{version('msgpack')}"]
    assert locators("libc6") == ["pkg:deb/debian/libc6@1%3A2.36-9%2Bdeb12u4?arch=amd64"]
    assert locators("gone") == []
    assert written(tmp_path, **MOMENT) == found


def test_an_image_is_labelled_with_the_commit_that_it_was_built_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", MOMENT["SOURCE_DATE_EPOCH"])
    folder = tmp_path / "factor"
    folder.mkdir()
    known = {"created": "2023-11-14T22:13:20Z", "version": "1", "base.name": "base:1"}
    expected = {f"org.opencontainers.image.{name}": text for name, text in known.items()}
    assert provenance_labels(folder, "1", "base:1", "") == expected

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.check_output(["git", "-C", os.fspath(tmp_path), *who, *arguments], text=True).strip()

    git("init", "--quiet")
    git("remote", "add", "origin", "https://ada:hunter2@example.org/factor.git")
    (folder / "main.py").write_text("print(1)\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    labels = provenance_labels(folder, "1", "base:1", "sha256:1")
    assert labels == expected | {
        "org.opencontainers.image.revision": git("rev-parse", "HEAD"),
        "org.opencontainers.image.source": "https://example.org/factor.git",
        "org.opencontainers.image.base.digest": "sha256:1",
    }
    (folder / "main.py").write_text("print(2)\n")
    changed = provenance_labels(folder, "1", "base:1", "")
    assert changed["org.opencontainers.image.revision"] == git("rev-parse", "HEAD") + "-dirty"


def test_a_time_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(SettingError, match="SOURCE_DATE_EPOCH='yesterday' is not a number of seconds since 1970"):
        build_time()
