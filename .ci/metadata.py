"""The part of the metadata that depends on where the repository is: its addresses, and the README with whole links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_FENCED = re.compile(r"(?ms)(^```.*?^```\n)")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_PAGES = {"Documentation": "docs/tutorial.md", "Changelog": "CHANGELOG.md"}


class CustomMetadataHook(MetadataHookInterface):
    """Adds ``urls`` and ``readme``. Their one source is ``repository`` in pyproject.toml."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add both to the metadata of the project."""
        repository, folder = self.config["repository"].rstrip("/"), Path(self.root)
        tag = f"v{metadata['version']}"
        text = (folder / "README.md").read_text(encoding="utf-8")
        readme = whole_links(text, folder, repository, tag)
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}
        metadata["urls"] = {}
        if repository:
            pages = {name: f"{repository}/blob/{tag}/{path}" for name, path in _PAGES.items()}
            own = {"Homepage": repository, "Source": repository, "Issues": f"{repository}/issues"}
            metadata["urls"] = dict(sorted({**own, **pages}.items()))


def whole_links(text: str, folder: Path, repository: str, tag: str) -> str:
    """
    Return a page of Markdown whose relative links lead into the repository, from wherever the page is shown.

    Without the repository's address links become plain text, and pictures are left out.

    Raises:
        FileNotFoundError: a link leads to a file that is not in the folder.
    """

    def whole(link: re.Match[str]) -> str:
        picture, label, target = link.groups()
        path = target.partition("#")[0]
        if re.match(r"[a-z]+:", target) or not path:
            return link[0]
        if not (folder / path).exists():
            raise FileNotFoundError(f"README.md: there is no {path}")
        if not repository:
            return "" if picture else label
        return f"{picture}[{label}]({repository}/{'raw' if picture else 'blob'}/{tag}/{target})"

    parts = _FENCED.split(text)  # the odd ones are code
    parts[::2] = [_LINK.sub(whole, part) for part in parts[::2]]
    return "".join(parts)
