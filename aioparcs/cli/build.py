"""The commands ``aioparcs build`` and ``aioparcs image build``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aioparcs.cli.command import reported
from aioparcs.cli.modules import find, modules_there, roots

if TYPE_CHECKING:
    from aioparcs.build import BuiltImage
    from aioparcs.cli.building import BuildOptions

__all__ = ["build", "image"]

_EXAMPLES = """
\b
Examples:
  aioparcs build factor runner --push --registry 10.138.0.6:5000
  aioparcs build factor -v             see all that the build prints
  aioparcs build factor --wheels DIR   for a cluster that can't reach the package index

\b
Environment:
  LEADER_URL        the leader's Docker, else what Docker's own variables and context say
  PARCS_REGISTRY    for --registry       PARCS_BASE_IMAGE  for --base
  PARCS_WHEELS      for --wheels         PARCS_MODULES     for --modules

\b
Exit codes:
    0  all images are built
    1  a build or a push failed, or the leader can't be reached
    2  the command line, a setting or a module's name is wrong
  130  ended by Ctrl-C
  143  ended by SIGTERM
"""

_IMAGE_EXAMPLES = """
\b
Examples:
  aioparcs image build --registry 10.138.0.6:5000
  aioparcs image build --from python:3.12-slim
  aioparcs image build --wheels DIR    on a cluster that can't reach the package index

\b
Exit codes:
    0  the image is built
    1  the build or the push failed, or the leader can't be reached
    2  the command line or a setting is wrong
"""


@click.command(epilog=_EXAMPLES)
@click.argument("module", nargs=-1, required=True, shell_complete=modules_there)
@click.option("--push", is_flag=True, help="Push the images, for all nodes to pull; needs a registry.")
@click.option("--registry", metavar="R", help="The registry, HOST:PORT or HOST:PORT/PATH.  [default: $PARCS_REGISTRY]")
@click.option("--tag", metavar="T", default="latest", show_default=True, help="An additional tag for the images.")
@click.option("--base", metavar="IMAGE",
              help="The base image.  [default: $PARCS_BASE_IMAGE, else aioparcs/python in the registry]")  # fmt: skip
@click.option("--wheels", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Install packages from the wheels in this folder only.  [default: $PARCS_WHEELS]")  # fmt: skip
@click.option("--modules", metavar="DIR", type=click.Path(exists=True, file_okay=False),
              help="The folder that holds the modules.  [default: $PARCS_MODULES, else the current folder "
                   "and the one above it]")  # fmt: skip
@click.option("-v", "--verbose", is_flag=True, help="Show all that builds and pushes print.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of the images.")
def build(module: tuple[str, ...], modules: str | None, as_json: bool, **options: object) -> None:
    """Build images of modules on the Swarm's leader.

    MODULE is the name of a folder under --modules, or the path of any folder with a main.py. The folder needs no
    Dockerfile: the packages in its requirements.txt, or in the inline metadata of main.py, are installed.
    Unchanged images are neither built nor pushed again.
    """
    # Docker's libraries take longer to load than the rest together; help and completion do without.
    from aioparcs.cli.building import BuildOptions

    folders = [find(name, roots(modules)) for name in module]
    with reported():
        _build(folders, BuildOptions(**options), as_json)  # type: ignore[arg-type]  # click has made them so


def _build(folders: list[Path], options: BuildOptions, as_json: bool) -> None:
    from aioparcs.cli.building import build_all

    done: list[BuiltImage] = []
    try:
        for image in build_all(folders, options):
            done.append(image)
            if not as_json:
                click.echo(f"{image.module}: {_outcome(image)}")
    finally:
        if as_json:
            click.echo(json.dumps([image._asdict() for image in done], indent=2))


def _outcome(image: BuiltImage) -> str:
    """Return what was done for an image, and its reference."""
    if not image.built and not image.pushed:
        return f"unchanged, {image.reference}"
    return f"{' and '.join(['built'] * image.built + ['pushed'] * image.pushed)} {image.reference}"


@click.group()
def image() -> None:
    """Build the base images of the modules."""


@image.command("build", short_help="Build the base images on the Swarm's leader.", epilog=_IMAGE_EXAMPLES)
@click.option("--from", "python", metavar="IMAGE", default="python:3.13-slim", show_default=True,
              help="The image with Python to build on.")  # fmt: skip
@click.option("--registry", metavar="R", help="Push it there, HOST:PORT or HOST:PORT/PATH.  [default: $PARCS_REGISTRY]")
@click.option("--wheels", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Install packages from the wheels in this folder only.  [default: $PARCS_WHEELS]")  # fmt: skip
@click.option("-v", "--verbose", is_flag=True, help="Show all that the build and the push print.")
def build_image(python: str, registry: str | None, wheels: Path | None, verbose: bool) -> None:
    """Build the base images on the Swarm's leader: Python, and aioparcs as it is installed here.

    `aioparcs build` looks for them under the name aioparcs/python, with the version of aioparcs as the tag, and
    -worker behind it for the one of services, which has neither the command line nor Docker's libraries. An unchanged
    image is neither built nor pushed again.
    """
    from aioparcs.cli.building import build_base_images  # Docker's libraries take longer to load than the rest together

    with reported():
        made, of_workers = build_base_images(python, registry, wheels, verbose=verbose)
    click.echo(f"base image: {_outcome(made)}")
    click.echo(f"base image of workers: {_outcome(of_workers)}")
