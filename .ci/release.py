"""
The checks before a release: ``python .ci/release.py v0.1.0`` fails unless the files here are those of that tag.

``make dist`` has to come first: its wheel and its source distribution are what is published.
"""

import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def problems(root: Path, tag: str) -> Iterator[str]:
    """Yield what keeps the files of a folder from being released as a tag."""
    (version,) = re.findall(r'(?m)^VERSION = "(.+)"$', (root / "aioparcs/settings.py").read_text(encoding="utf-8"))
    if tag != f"v{version}":
        yield f"aioparcs/settings.py: VERSION is {version}, and the tag {tag}: it should be v{version}"
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"(?m)^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changes):
        yield f"CHANGELOG.md: there is no heading '## [{version}] - YYYY-MM-DD'"
    tool = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    repository = tool["hatch"]["metadata"]["hooks"]["custom"]["repository"]
    here = f"{os.environ.get('GITHUB_SERVER_URL', '')}/{os.environ.get('GITHUB_REPOSITORY', '')}".strip("/")
    if not repository or here not in ("", repository):
        yield f"pyproject.toml: repository is {repository!r}, not the address of this repository {here}".rstrip()
    for name in (f"aioparcs-{version}-py3-none-any.whl", f"aioparcs-{version}.tar.gz"):
        if not (root / "dist" / name).exists():
            yield f"dist: there is no {name}"


def main() -> None:
    """Print each problem; exit with 1 if there are any."""
    if len(sys.argv) != 2:
        sys.exit("usage: python .ci/release.py TAG")
    found = list(problems(ROOT, sys.argv[1]))
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
