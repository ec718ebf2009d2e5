"""The settings of the pages that `make docs` builds, and what it changes of their Markdown."""

import re
import sys
from os.path import relpath
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError

ROOT = Path(__file__).parents[2]
STARTERS = ("Runner", "Service")  # which inherit from a class that has no name of its own in the reference
# Programs get objects of these from methods, and never call them.
NOT_MADE = ("aioparcs.Pool", "aioparcs.Stream", "aioparcs.Task", "aioparcs.testing.Line")
PICTURES = (".jpg", ".png", ".svg", ".webp")
# What is added to the end of pages, so that they stay readable in the repository.
ADDED = {
    "README": Path(__file__).with_name("navigation.md").read_text(),
    "docs/wire": "\n```{toctree}\n:hidden:\n\n../tests/vectors/README\n```\n",
    "examples/README": "\n```{toctree}\n:hidden:\n:glob:\n\n*/README\n```\n",
}

project = html_title = "aioparcs"
copyright = "aioparcs contributors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
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

default_role = "py:obj"
autodoc_default_options = {
    "members": True,
    "inherited-members": "object,BaseException,Exception,ExceptionGroup,tuple,Generic,Protocol,Executor",
    "member-order": "bysource",
}
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"
napoleon_use_ivar = True


def setup(app: Sphinx) -> None:
    """Connect the functions below."""
    app.connect("source-read", prepare)
    app.connect("autodoc-process-signature", lambda _app, _kind, name, *_rest: ("", "") if name in NOT_MADE else None)
    app.connect("missing-reference", resolve)
    app.connect("build-finished", finish)


def prepare(app: Sphinx, page: str, source: list[str]) -> None:
    """Show the names of files, and the reference; lead links to what is no page to a file; and add the navigation."""
    text = re.sub(r"(?m)^```(\w+) file=(\S+)$", r"```{code-block} \1\n:caption: \2\n", source[0])
    text = re.sub(r"(?ms)^<!-- eval-rst\n(.*?)^-->$", r"```{eval-rst}\n\1```", text)  # unseen in the repository
    folder = (ROOT / page).parent
    text = re.sub(r"(?<=\]\()[^)\s:#`]+(?=\))", lambda link: target(app, folder, link[0]), text)
    app.env.note_dependency("docs/site/navigation.md", docname=page)
    source[0] = text + ADDED.get(page, "")


def target(app: Sphinx, folder: Path, link: str) -> str:
    """Return what a link to a file or a folder of the repository becomes; the pages have no folders."""
    path = (folder / link).resolve()
    if path.is_dir():
        path /= "__init__.py"
    page = path.relative_to(ROOT).with_suffix("").as_posix()
    is_shown = page in app.project.docnames or path.suffix in PICTURES
    return link if is_shown or not path.is_file() else f"path:{relpath(path, folder)}"


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.Node) -> nodes.Node | None:
    """Lead a reference to a public name to where that is; types of annotations, and Python's names, need no link."""
    *owner, name = node["reftarget"].split(".")
    here = env.domains.python_domain
    for full in (
        f"aioparcs.{name}",
        f"aioparcs.channel.{name}",
        f"aioparcs.{'.'.join([*owner, name])}",
        *(f"aioparcs.{c}.{name}" for c in STARTERS),
    ):
        if full in here.objects:
            return here.resolve_xref(env, node["refdoc"], app.builder, "obj", full, node, text)
    return text if node["reftype"] == "class" or (owner and owner[0] in sys.stdlib_module_names) else None


def finish(app: Sphinx, failure: Exception | None) -> None:
    """Check that no page loads anything from another host, and let the folder open at the first page."""
    if failure is not None:
        return
    for page in app.outdir.rglob("*.html"):
        for tag in re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", page.read_text()):
            if re.search(r"""(?:src|href|srcset)=["']?(?:https?:)?//""", tag):
                raise ExtensionError(f"{page} loads from another host: {tag}")
    (app.outdir / "llms.txt").write_text(index(app))
    (app.outdir / "index.html").write_bytes((app.outdir / f"{root_doc}.html").read_bytes())


def index(app: Sphinx) -> str:
    """Return the list of all pages in the order of the navigation, with their first sentences, for language models."""
    lines = [f"# {project}", "", f"> {sentence(app, root_doc)}"]
    for caption, pages in re.findall(r":caption: (.*)\n:hidden:\n\n((?:.+\n)+)", ADDED["README"]):
        lines += ["", f"## {caption}", ""]
        for page in re.findall(r"(?m)([\w/]+)>?$", pages):
            below = app.env.toctree_includes.get(page, [])
            lines += [
                f"- [{app.env.titles[one].astext()}](_sources/{one}.md.txt): {sentence(app, one)}"
                for one in [page, *below]
            ]
    return "\n".join(lines) + "\n"


def sentence(app: Sphinx, page: str) -> str:
    """Return the first sentence of a page."""
    for paragraph in app.env.get_doctree(page).findall(nodes.paragraph):
        if not isinstance(paragraph.parent, nodes.entry):
            return re.split(r"(?<=[.!?]) ", paragraph.astext().replace("\n", " "))[0]
    return ""
