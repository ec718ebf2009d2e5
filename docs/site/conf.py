"""The settings of the pages that `make docs` builds, and what it changes of their Markdown."""

import re
from os.path import relpath
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

ROOT = Path(__file__).parents[2]
PICTURES = (".jpg", ".png", ".svg", ".webp")
# What is added to the end of pages, so that they stay readable in the repository.
ADDED = {
    "README": Path(__file__).with_name("navigation.md").read_text(),
    "docs/wire": "\n```{toctree}\n:hidden:\n\n../tests/vectors/README\n```\n",
    "examples/README": "\n```{toctree}\n:hidden:\n:glob:\n\n*/README\n```\n",
}

project = html_title = "aioparcs"
copyright = "aioparcs contributors"
extensions = ["myst_parser"]
root_doc = "README"
include_patterns = [
    "*.md",
    "docs/**.md",
    "examples/README.md",
    "examples/*/README.md",
    "images/*.md",
    "tests/vectors/*.md",
]
exclude_patterns = ["docs/site", ".*", "build", "dist"]

html_theme = "furo"
html_show_sphinx = False
highlight_language = "text"
nitpicky = True
myst_heading_anchors = 4


def setup(app: Sphinx) -> None:
    """Connect the functions below."""
    app.connect("source-read", prepare)
    app.connect("build-finished", finish)


def prepare(app: Sphinx, page: str, source: list[str]) -> None:
    """Show the names of files, lead links to what is no page to a file, and add the navigation."""
    text = re.sub(r"(?m)^```(\w+) file=(\S+)$", r"```{code-block} \1\n:caption: \2\n", source[0])
    text = text.replace("```mermaid\n", "```text\n")  # only a program of some megabytes could draw it offline
    folder = (ROOT / page).parent
    text = re.sub(r"(?<=\]\()[^)\s:#`]+(?=\))", lambda link: target(app, folder, link[0]), text)
    source[0] = text + ADDED.get(page, "")


def target(app: Sphinx, folder: Path, link: str) -> str:
    """Return what a link to a file or a folder of the repository becomes; the pages have no folders."""
    path = (folder / link).resolve()
    if path.is_dir():
        path /= "__init__.py"
    page = path.relative_to(ROOT).with_suffix("").as_posix()
    is_shown = page in app.project.docnames or path.suffix in PICTURES
    return link if is_shown or not path.is_file() else f"path:{relpath(path, folder)}"


def finish(app: Sphinx, failure: Exception | None) -> None:
    """Check that no page loads anything from another host, and let the folder open at the first page."""
    if failure is not None:
        return
    for page in app.outdir.rglob("*.html"):
        for tag in re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", page.read_text()):
            if re.search(r"""(?:src|href|srcset)=["']?(?:https?:)?//""", tag):
                raise ExtensionError(f"{page} loads from another host: {tag}")
    (app.outdir / "index.html").write_bytes((app.outdir / f"{root_doc}.html").read_bytes())
